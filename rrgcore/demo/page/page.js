// Run by Gradio when the component is there: `element` is it, `props.about` what the run is,
// `server` calls Python, `attention` (rrgcore/page/templates/attention.js) paints where the model
// looked. Whatever is shown is set as text.

const about = props.about;
const root = element.querySelector(".rrg");
const part = (name) => root.querySelector(`[data-part="${name}"]`);

const make = (name, text = "", kind = "") => {
  const made = document.createElement(name);
  made.textContent = text;
  made.className = kind;
  return made;
};
// what stands between backticks is code
const spelt = (name, text) => {
  const made = make(name);
  made.append(...text.split("`").map((piece, number) => number % 2 ? make("code", piece) : piece));
  return made;
};
const sentence = (text) => text.charAt(0).toUpperCase() + text.slice(1) + (/[.!?]$/.test(text) ? "" : ".");
const list = (name, texts) => part(name).replaceChildren(...texts.map((text) => spelt("li", text)));

// ---- what never changes ----------------------------------------------------------------------

part("title").textContent = about.title;
part("research").textContent = about.research;
part("origin").textContent = about.origin;
part("limits").textContent = `PNG, JPEG or DICOM, of up to ${about.megabytes} MB and ${about.megapixels} million pixels; two views of one study together.`;
list("cautions", about.cautions);
list("notes", about.notes.map(sentence));
part("example").hidden = !about.examples;

// ---- asking ----------------------------------------------------------------------------------

let busy = false;

const say = (text, wrong = false) => {
  part("status").replaceChildren(spelt("span", text));
  part("status").classList.toggle("wrong", wrong);
};
const asked = async (what, ask) => {
  if (busy) return;
  busy = true;
  root.classList.add("busy");
  part("result").hidden = true;
  say(what);
  try {
    const answer = await ask();
    if (!answer) throw new Error("no answer came; the demo is busy, or has ended");
    if (answer.error) throw new Error(answer.error);
    say("");
    show(answer);
  } catch (error) {
    say(sentence(error.message), true);
  } finally {
    busy = false;
    root.classList.remove("busy");
  }
};

const base64 = (file) => new Promise((resolve, reject) => {
  const reader = new FileReader();
  reader.onload = () => resolve(reader.result.slice(reader.result.indexOf(",") + 1));
  reader.onerror = () => reject(new Error("the browser could not read the file"));
  reader.readAsDataURL(file);
});

const read = (files) => {
  if (!files.length) return;
  asked("Reading the image and writing a report…", async () => {
    if (files.length > about.views) throw new Error(`${files.length} files are too many; drop one, or ${about.views} views of the same study`);
    files.forEach((file, number) => {
      if (file.size > about.bytes) throw new Error(`image ${number + 1}: has ${(file.size / 1e6).toFixed(1)} MB, and at most ${about.megabytes} are read`);
      if (!file.size) throw new Error(`image ${number + 1}: is empty (0 bytes)`);
    });
    return server.write_report({ images: await Promise.all(files.map(base64)) });
  });
};

part("files").addEventListener("change", (event) => {
  const files = [...event.target.files];
  event.target.value = ""; // so that the same file may be chosen again
  read(files);
});
part("example").addEventListener("click", () => asked("Drawing an example and writing a report…", () => server.show_example({})));

// a file that is dropped beside the zone is not to replace the page
for (const type of ["dragover", "drop"]) window.addEventListener(type, (event) => event.preventDefault());
const drop = part("drop");
for (const type of ["dragenter", "dragover"]) drop.addEventListener(type, () => drop.classList.add("over"));
drop.addEventListener("dragleave", (event) => { if (!drop.contains(event.relatedTarget)) drop.classList.remove("over"); });
drop.addEventListener("drop", (event) => {
  drop.classList.remove("over");
  read([...event.dataTransfer.files]);
});

// ---- what was written ------------------------------------------------------------------------

const show = (answer) => {
  const views = answer.images.map((image, number) => view(image, number, answer.images.length));
  part("views").replaceChildren(...views.map((each) => each.figure));
  list("warnings", answer.warnings.map(sentence));
  part("reference-part").hidden = answer.reference === undefined;
  part("reference").textContent = answer.reference ?? "";
  part("reference-title").textContent = `What the report of ${answer.example} says`;
  const told = answer.confidence !== null;
  part("confidence-part").hidden = !told;
  part("confidence").textContent = told ? `${Math.round(100 * answer.confidence)} %` : "";
  part("bar").style.width = `${100 * (answer.confidence ?? 0)}%`;
  words(answer, views.map((each) => each.canvas));
  part("result").hidden = false;
};

const view = ({ uri, width, height }, number, count) => {
  const figure = make("figure");
  const frame = make("div", "", "picture");
  frame.style.aspectRatio = `${width} / ${height}`;
  figure.style.maxWidth = `calc(var(--tall) * ${width / height})`;
  const image = make("img");
  const canvas = make("canvas");
  image.src = uri;
  image.alt = count > 1 ? `Image ${number + 1} of the study` : "The image";
  canvas.width = canvas.height = 512;
  canvas.setAttribute("aria-hidden", "true");
  frame.append(image, canvas);
  figure.append(frame);
  if (count > 1) figure.append(make("figcaption", `Image ${number + 1}`));
  return { figure, canvas };
};

const words = (answer, canvases) => {
  const report = part("report");
  const looked = part("looked");
  report.replaceChildren();
  if (!answer.words.length) report.append(make("span", "(no word)", "soft"));
  const maps = answer.maps;
  if (!maps) {
    looked.textContent = `Where the model looked cannot be shown: ${sentence(answer.absent)}`;
    answer.words.forEach(([word]) => report.append(word, " "));
    return;
  }
  const hint = "Point at a word, or tap it, to see where the model looked as it wrote it: the mean over all layers and heads. Colour begins above an even look, and is full at three times as much. It says what was read, not why.";
  const bytes = attention.decode(maps.data);
  let pinned = -1;

  const buttons = answer.words.map(([word]) => {
    const button = make("button", word, "word");
    button.type = "button";
    button.tabIndex = -1;
    report.append(button, " ");
    return button;
  });
  if (buttons.length) buttons[0].tabIndex = 0;

  const light = (at) => {
    buttons.forEach((button, number) => {
      button.classList.toggle("at", number === at);
      button.setAttribute("aria-pressed", String(number === pinned));
    });
    attention.clear(canvases);
    looked.textContent = at < 0 ? hint : tell(answer.words[at], attention.look(bytes, maps, at, canvases), canvases.length);
  };

  report.onpointerover = (event) => { const at = buttons.indexOf(event.target); if (at >= 0) light(at); };
  report.onpointerleave = () => light(pinned);
  report.onfocusin = (event) => { const at = buttons.indexOf(event.target); if (at >= 0) light(at); };
  report.onclick = (event) => {
    const at = buttons.indexOf(event.target);
    if (at < 0) return;
    pinned = pinned === at ? -1 : at;
    light(pinned);
  };
  report.onkeydown = (event) => {
    const at = buttons.indexOf(event.target);
    const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: buttons.length - 1 }[event.key];
    if (event.key === "Escape") { pinned = -1; light(-1); }
    if (to === undefined || !buttons[to]) return;
    event.preventDefault();
    buttons[at].tabIndex = -1;
    buttons[to].tabIndex = 0;
    buttons[to].focus();
  };
  light(-1);
};

const tell = ([word, probability], { view, place, times }, count) => {
  const where = `${place} of ${count > 1 ? `image ${view + 1}` : "the picture"}`;
  return `“${word}”, of probability ${probability}: looked most at the ${where}, ${times} times an even look.`;
};
