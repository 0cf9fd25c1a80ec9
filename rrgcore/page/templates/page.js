(() => {
  "use strict";
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];
  const root = document.documentElement;

  // ---- light and dark ---------------------------------------------------------------------

  const button = document.getElementById("theme");
  const prefers = matchMedia("(prefers-color-scheme: dark)");

  const kept = {
    get: () => { try { return localStorage.getItem("rrg-theme"); } catch { return null; } },
    set: (name) => { try { localStorage.setItem("rrg-theme", name); } catch { /* it lasts as long as the page */ } },
  };

  function showTheme() {
    const dark = root.dataset.theme ? root.dataset.theme === "dark" : prefers.matches;
    button.setAttribute("aria-pressed", String(dark));
  }

  const wanted = kept.get();
  if (wanted === "light" || wanted === "dark") root.dataset.theme = wanted;
  button.hidden = false;
  button.addEventListener("click", () => {
    root.dataset.theme = button.getAttribute("aria-pressed") === "true" ? "light" : "dark";
    kept.set(root.dataset.theme);
    showTheme();
  });
  prefers.addEventListener("change", showTheme);
  showTheme();

  // ---- values of curves -------------------------------------------------------------------

  for (const figure of all(".chart")) {
    const picture = figure.querySelector("svg");
    const said = figure.querySelector("output");
    const points = JSON.parse(picture.dataset.points);
    const stages = JSON.parse(picture.dataset.stages);
    const [, , width, height] = picture.getAttribute("viewBox").split(" ").map(Number);
    let at = -1;

    const show = (number) => {
      at = Math.max(0, Math.min(points.length - 1, number));
      const [x, y, stage, step, value] = points[at];
      picture.querySelector(".cursor").setAttribute("d", `M${x} 20V${height - 28}`);
      const dot = picture.querySelector(".cursor-dot");
      dot.setAttribute("cx", x);
      dot.setAttribute("cy", y);
      picture.classList.add("pointed");
      said.textContent = `${value} · ${stages[stage]}, step ${step}`;
    };
    const leave = () => {
      picture.classList.remove("pointed");
      said.textContent = "";
    };
    picture.addEventListener("pointermove", (event) => {
      const box = picture.getBoundingClientRect();
      const x = (event.clientX - box.left) / box.width * width;
      let nearest = 0;
      points.forEach((point, number) => {
        if (Math.abs(point[0] - x) < Math.abs(points[nearest][0] - x)) nearest = number;
      });
      show(nearest);
    });
    picture.addEventListener("pointerleave", leave);
    figure.addEventListener("blur", leave);
    figure.addEventListener("keydown", (event) => {
      const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: points.length - 1 }[event.key];
      if (to === undefined) return;
      event.preventDefault();
      show(to);
    });
  }

  // ---- where the model looked -------------------------------------------------------------

  for (const report of all(".attends")) {
    const study = report.closest(".study");
    const words = all(".w", report);
    const canvases = all("canvas", study);
    const views = all("figcaption", study).map((caption) => caption.textContent);
    const said = study.querySelector(".looked");
    const hint = said.textContent;
    const [, count, rows, columns] = report.dataset.shape.split(",").map(Number);
    const shape = { views: count, rows, columns };
    let bytes = null;
    let at = -1;

    const show = (number) => {
      if (number === at) return;
      words[at]?.classList.remove("at");
      at = Math.max(0, Math.min(words.length - 1, number));
      words[at].classList.add("at");
      bytes ??= attention.decode(report.dataset.maps);
      const { view, place, times } = attention.look(bytes, shape, at, canvases);
      const which = views.length > 1 ? ` (${views[view]})` : "";
      said.textContent = `“${words[at].textContent}”: looked most at the ${place} of the picture${which}, ${times} times an even look`;
    };
    const leave = () => {
      words[at]?.classList.remove("at");
      at = -1;
      attention.clear(canvases);
      said.textContent = hint;
    };
    const under = (event) => {
      const word = event.target.closest(".w");
      if (word) show(words.indexOf(word));
    };
    report.addEventListener("pointerover", under);
    report.addEventListener("click", under);
    report.addEventListener("pointerleave", (event) => {
      if (event.pointerType === "mouse" && document.activeElement !== report) leave();
    });
    report.addEventListener("blur", leave);
    report.addEventListener("keydown", (event) => {
      const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: words.length - 1 }[event.key];
      if (event.key === "Escape") leave();
      if (to === undefined) return;
      event.preventDefault();
      show(to);
    });
  }

  // ---- what both reports say --------------------------------------------------------------

  const list = document.getElementById("list");
  list?.addEventListener("pointerover", (event) => {
    for (const met of all(".met", list)) met.classList.remove("met");
    const phrase = event.target.closest("[data-match]");
    if (!phrase) return;
    const match = `[data-match="${phrase.dataset.match}"]`;
    for (const each of all(match, phrase.closest(".study"))) each.classList.add("met");
  });

  // ---- the browser of studies -------------------------------------------------------------

  const form = document.getElementById("filters");
  if (!form) return;
  const AT_ONCE = 20;
  const FIELDS = ["obs", "is", "by", "min", "max", "q", "sort"];
  const count = document.getElementById("count");
  const more = document.getElementById("more");
  const field = (name) => form.elements.namedItem(name);
  const value = (name) => field(name)?.value ?? "";
  const defaults = Object.fromEntries(FIELDS.map((name) => [name, value(name)]));
  let room = AT_ONCE;

  const studies = all(".study", list).map((element, order) => {
    const findings = JSON.parse(element.dataset.findings);
    return {
      element,
      order,
      findings,
      scores: JSON.parse(element.dataset.scores),
      wrong: findings.filter(([, outcome]) => outcome !== "found").length,
      text: [element.querySelector("h3"), ...all(".report", element)]
        .map((each) => each.textContent.toLowerCase()).join("\n"),
    };
  });

  function matches(study) {
    const [observation, outcome, by] = [value("obs"), value("is"), value("by")];
    if (observation || outcome) {
      const found = study.findings.some(([name, what]) =>
        (!observation || name === observation) && (!outcome || what === outcome));
      if (!found) return false;
    }
    const score = study.scores[by];
    if (value("min") !== "" && !(score >= Number(value("min")))) return false;
    if (value("max") !== "" && !(score <= Number(value("max")))) return false;
    const words = value("q").toLowerCase().split(/\s+/).filter(Boolean);
    return words.every((word) => study.text.includes(word));
  }

  function order(a, b) {
    const by = value("by");
    const first = { low: 1, high: -1 }[value("sort")];
    if (first) {
      // what has no such score comes last
      const [x, y] = [a.scores[by], b.scores[by]];
      if ((x === undefined) !== (y === undefined)) return x === undefined ? 1 : -1;
      if (x !== y) return first * (x - y);
    }
    if (value("sort") === "wrong" && a.wrong !== b.wrong) return b.wrong - a.wrong;
    return a.order - b.order;
  }

  function show() {
    const found = studies.filter(matches).sort(order);
    const shown = new Set(found.slice(0, room));
    for (const study of studies) study.element.hidden = !shown.has(study);
    for (const study of found) list.append(study.element);
    count.textContent = found.length === studies.length
      ? `${studies.length} studies`
      : `${found.length} of ${studies.length} studies`;
    more.hidden = found.length <= room;
    more.textContent = `Show ${Math.min(AT_ONCE, found.length - room)} more`;
  }

  function keep() {
    const state = new URLSearchParams();
    for (const name of FIELDS) {
      if (field(name) && value(name) !== defaults[name]) state.set(name, value(name));
    }
    const said = state.toString();
    history.replaceState(null, "", said ? `#studies?${said}` : "#studies");
  }

  function restore() {
    const [section, said] = location.hash.slice(1).split("?");
    if (section !== "studies" || said === undefined) return;
    const state = new URLSearchParams(said);
    for (const name of FIELDS) {
      if (field(name)) field(name).value = state.get(name) ?? defaults[name];
    }
    room = AT_ONCE;
    show();
    document.getElementById("studies").scrollIntoView();
  }

  function changed() {
    room = AT_ONCE;
    show();
    keep();
  }

  form.hidden = false;
  for (const kind of ["input", "change"]) form.addEventListener(kind, changed);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", () => setTimeout(changed));
  more.addEventListener("click", () => {
    const next = room;
    room += AT_ONCE;
    show();
    const visible = all(".study:not([hidden])", list);
    visible[next]?.querySelector("h3").scrollIntoView({ block: "nearest" });
  });
  addEventListener("hashchange", restore);
  show();
  restore();
})();
