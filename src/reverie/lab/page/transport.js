// Play, step, begin again, speed: the buttons below a dream.

import { button, h, Select } from "./dom.js";

export function transport({ clock, restart, speeds = true, step = () => clock.once() }) {
  const play = button("", () => (clock.playing ? clock.pause() : clock.play()), { className: "primary" });
  const say = (playing) => { play.textContent = playing ? "Pause" : "Play"; };
  const before = clock.onchange;
  clock.onchange = (playing) => { say(playing); before?.(playing); };
  say(clock.playing);
  const one = button("Step", () => { clock.pause(); step(); }, { title: "One step" });
  const again = button("Restart", restart, { title: "Begin again from the same seed" });
  const speed = new Select({
    label: "Speed", value: "1", options: [["0.25", "¼ ×"], ["0.5", "½ ×"], ["1", "1 ×"], ["2", "2 ×"]],
    onchange: (value) => { clock.speed = Number(value); },
  });
  return h("div", { className: "transport", role: "group", "aria-label": "Playback" },
    play, one, again, speeds ? speed.element : null);
}

// What the keys Space, R and the full stop do while a dream has focus.
export function playbackKeys(screen, { clock, restart, step = () => clock.once() }) {
  screen.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    const act = {
      Space: () => (clock.playing ? clock.pause() : clock.play()),
      KeyR: restart,
      Period: () => { clock.pause(); step(); },
    }[event.code];
    if (!act) return;
    event.preventDefault();
    if (!event.repeat || event.code === "Period") act();
  });
}
