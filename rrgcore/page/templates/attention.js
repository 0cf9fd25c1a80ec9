// Where the decoder looked for each word, over the images of its study: of a page, and of the demo.
// Maps are bytes, by words, views, rows and columns (rrgcore.page.maps).

const attention = (() => {
  "use strict";
  const HEAT = [255, 106, 0];
  const EVEN = 16; // what a patch has when a word looks everywhere alike
  const FULL = 3; // times as much, from which the colour is full
  const MOST = 255; // of a byte: there may be more

  const strength = (value) => Math.max(0, Math.min(1, (value / EVEN - 1) / (FULL - 1)));
  const third = (share, names) => names[Math.min(2, Math.floor(share * 3))];

  const decode = (base64) => Uint8Array.from(atob(base64), (each) => each.charCodeAt(0));

  const clear = (canvases) => {
    for (const canvas of canvases) canvas.getContext("2d").clearRect(0, 0, canvas.width, canvas.height);
  };

  const paint = (canvas, map, { rows, columns }) => {
    const small = new OffscreenCanvas(columns, rows);
    const pixels = new ImageData(columns, rows);
    map.forEach((value, patch) => pixels.data.set([...HEAT, Math.round(190 * strength(value))], 4 * patch));
    small.getContext("2d").putImageData(pixels, 0, 0);
    const context = canvas.getContext("2d");
    context.imageSmoothingEnabled = true;
    context.imageSmoothingQuality = "high";
    context.drawImage(small, 0, 0, canvas.width, canvas.height);
  };

  // Paints a word's maps, one a view; returns in which view and where it looked most, and how much.
  const look = (bytes, shape, word, canvases) => {
    const { views, rows, columns } = shape;
    let highest = [-1, 0, 0];
    clear(canvases);
    for (let view = 0; view < views; view += 1) {
      const start = (word * views + view) * rows * columns;
      const map = bytes.subarray(start, start + rows * columns);
      if (canvases[view]) paint(canvases[view], map, shape);
      map.forEach((value, patch) => { if (value > highest[0]) highest = [value, view, patch]; });
    }
    const [most, view, patch] = highest;
    const down = third((Math.floor(patch / columns) + 0.5) / rows, ["upper", "middle", "lower"]);
    const across = third((patch % columns + 0.5) / columns, ["left", "centre", "right"]);
    return { view, place: `${down} ${across}`, times: most === MOST ? "over 15" : (most / EVEN).toFixed(1) };
  };

  return { decode, clear, look };
})();
