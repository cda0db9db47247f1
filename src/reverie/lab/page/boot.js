// A plain script, so that it runs where modules do not: says why the lab cannot open here, or opens it.
"use strict";

(function () {
  // The smallest module that uses a SIMD instruction.
  var SIMD = new Uint8Array([
    0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 10, 1, 8, 0, 65, 0, 253, 15, 253, 98, 11,
  ]);

  function say(text) {
    var place = document.getElementById("lab"), words = document.createElement("p");
    words.className = "card failure";
    words.setAttribute("role", "alert");
    words.textContent = text;
    place.textContent = "";
    place.appendChild(words);
    document.body.setAttribute("data-state", "failed");
  }

  function reason() {
    if (location.protocol === "file:") {
      return "This page was opened as a file, and browsers keep files from reading each other. Serve the folder instead: " +
        "run `python -m http.server` in it and open http://localhost:8000/ (or use `reverie lab`).";
    }
    if (typeof WebAssembly !== "object" || !WebAssembly.validate(SIMD)) {
      return "This browser is too old to dream: it lacks WebAssembly SIMD. Chrome 91, Firefox 89, Safari 16.4 and all since have it.";
    }
    if (typeof Worker !== "function" || typeof DecompressionStream !== "function" || typeof OffscreenCanvas !== "function") {
      return "This browser is too old to dream. Chrome 91, Firefox 114, Safari 16.4 and all since can.";
    }
    return null;
  }

  var problem = reason();
  if (problem) say(problem);
  else {
    import("./main.js").then(
      function (page) { return page.main(); },
      function (error) { say("A file of this page is missing or broken. Export the lab again. (" + error.message + ")"); }
    );
  }
})();
