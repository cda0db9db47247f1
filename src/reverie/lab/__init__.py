"""The dream lab: a page that dreams in the browser, made from a run."""
