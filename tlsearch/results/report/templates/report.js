// The page's behaviour: plots in the page's colours, sorting, filtering, a trial's details, tooltips.
// Text from outside enters as textContent only.
"use strict";
(() => {
  const page = JSON.parse(document.getElementById("page").textContent);
  const meanings = JSON.parse(document.getElementById("meanings").textContent);
  const OPTIONS = { displaylogo: false, responsive: true };
  const BUTTONS = [["toImage", "zoom2d", "pan2d", "resetScale2d"]];
  const CURVES = { value: "#3b82c4", train_value: "#2f9e62", train_loss: "#d1742f", validation_loss: "#c0504d" };
  const OF_THE_METRIC = ["value", "train_value", "batch_accuracies"];
  const BATCHES = { batch_accuracies: "#2f9e62", batch_losses: "#d1742f" };

  const make = (tag, text, title) => {
    const node = document.createElement(tag);
    node.textContent = text;
    if (title) node.dataset.meaning = title;
    return node;
  };
  const shown = (value) =>
    value === null || value === undefined ? "-"
      : Array.isArray(value) ? value.join("-") || "none"
        : typeof value === "number" && !Number.isInteger(value) ? String(Number(value.toPrecision(4)))
          : String(value);

  // Plots

  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const narrow = () => window.matchMedia("(max-width: 640px)").matches;

  function themed(layout) {
    const axis = { gridcolor: colour("--line"), linecolor: colour("--line"), zeroline: false, automargin: true, exponentformat: "e" };
    const below = { orientation: "h", yref: "container", y: 0, yanchor: "bottom", font: { size: 11 } };
    const beside = { font: { size: 12 } };
    return {
      margin: narrow() ? { l: 45, r: 10, t: 25, b: 45 } : { l: 60, r: 20, t: 30, b: 55 },
      ...layout,
      paper_bgcolor: "rgba(0,0,0,0)",
      plot_bgcolor: "rgba(0,0,0,0)",
      font: { color: colour("--text"), family: "system-ui, sans-serif", size: narrow() ? 11 : 12 },
      modebar: { bgcolor: "rgba(0,0,0,0)", color: colour("--soft"), activecolor: colour("--accent") },
      hoverlabel: { bgcolor: colour("--raised"), font: { color: colour("--text") }, bordercolor: colour("--line") },
      legend: { ...(layout.legend || {}), ...(narrow() ? below : beside) },
      xaxis: { ...axis, ...(layout.xaxis || {}) },
      yaxis: { ...axis, ...(layout.yaxis || {}) },
      ...(layout.yaxis2 ? { yaxis2: { ...axis, ...layout.yaxis2 } } : {}),
    };
  }

  const drawn = new Map();
  function draw(place, figure) {
    drawn.set(place, figure);
    return Plotly.react(place, figure.data, themed(figure.layout), {
      ...OPTIONS, displayModeBar: narrow() ? false : "hover", modeBarButtons: BUTTONS,
    });
  }
  const redraw = () => drawn.forEach((figure, place) => draw(place, figure));

  function drawAll() {
    for (const place of document.querySelectorAll("[data-figure]")) {
      const figure = page.figures[place.dataset.figure];
      if (!figure) continue;
      draw(place, figure);
      place.on("plotly_click", (event) => {
        const number = event.points[0].customdata;
        if (number !== undefined && number !== null) openTrial(number);
      });
    }
    document.documentElement.dataset.plots = "drawn";
  }

  // The table of trials

  function compare(a, b) {
    if (a === undefined || b === undefined) return (a === undefined) - (b === undefined);
    const x = Number(a), y = Number(b);
    return Number.isNaN(x) || Number.isNaN(y) ? a.localeCompare(b) : x - y;
  }

  function sortBy(head) {
    const descending = head.getAttribute("aria-sort") === "ascending";
    for (const other of head.parentNode.children) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", descending ? "descending" : "ascending");
    const body = head.closest("table").tBodies[0];
    const value = (row) => row.cells[head.cellIndex].dataset.sort;
    const absent = (row) => value(row) === undefined;
    const rows = [...body.rows].sort((a, b) => {
      const order = compare(value(a), value(b));
      return descending && !absent(a) && !absent(b) ? -order : order;
    });
    body.append(...rows);
  }

  function filterBy(text) {
    const words = text.toLowerCase().split(/\s+/).filter(Boolean);
    const rows = [...document.querySelectorAll("#board tbody tr")];
    for (const row of rows) {
      const content = row.textContent.toLowerCase();
      row.hidden = !words.every((word) => content.includes(word));
    }
    const left = rows.filter((row) => !row.hidden).length;
    document.getElementById("shown").textContent = `${left} of ${rows.length} trials`;
  }

  // One trial

  function fill(list, values) {
    list.replaceChildren();
    for (const [name, value] of Object.entries(values)) {
      list.append(make("dt", name.replaceAll("_", " "), meanings[name]), make("dd", shown(value)));
    }
  }

  // The words of a sentence that are not everyday speech, each with its meaning.
  function explainWords(list, sentence) {
    const found = Object.entries(page.words).filter(([word]) => sentence.includes(word));
    list.replaceChildren(...found.flatMap(([word, meaning]) => [make("dt", word), make("dd", meaning)]));
    list.hidden = found.length === 0;
  }

  function fillEpochs(table, curve) {
    const names = Object.keys(curve[0] || {}).filter((name) => !(name in BATCHES));
    const head = document.createElement("tr");
    for (const name of names) {
      const cell = make("th", name.replaceAll("_", " "), meanings[name]);
      cell.scope = "col";
      head.append(cell);
    }
    const rows = curve.map((point) => {
      const row = document.createElement("tr");
      row.append(...names.map((name) => make("td", shown(point[name]))));
      return row;
    });
    const thead = document.createElement("thead"), tbody = document.createElement("tbody");
    thead.append(head);
    tbody.append(...rows);
    table.replaceChildren(make("caption", curve.length ? "Each epoch's numbers." : "No epoch was reported."), thead, tbody);
  }

  function curveName(name) {
    if (name === "value") return `${page.metric}, validation`;
    return name === "train_value" ? `${page.metric}, train` : name.replaceAll("_", " ");
  }

  // Each batch of an epoch at its share of the way there, where the study kept them.
  function batchTraces(curve) {
    const names = Object.keys(BATCHES).filter((name) => name !== "batch_accuracies" || page.metric === "accuracy");
    const traces = names.map((name) => {
      const points = curve.flatMap((point) => {
        const values = (point.epoch > 0 && point[name]) || [];
        return values.map((value, place) => [point.epoch - 1 + (place + 1) / values.length, value]);
      });
      return {
        x: points.map(([x]) => x), y: points.map(([, y]) => y), name: curveName(name), mode: "lines",
        opacity: 0.35, line: { color: BATCHES[name], width: 1 }, yaxis: OF_THE_METRIC.includes(name) ? "y" : "y2",
      };
    });
    return traces.filter((trace) => trace.x.length);
  }

  function trialFigure(curve) {
    const names = Object.keys(CURVES).filter((name) => curve.some((point) => typeof point[name] === "number"));
    const epochs = names.map((name) => ({
      x: curve.map((point) => point.epoch),
      y: curve.map((point) => point[name]),
      name: curveName(name),
      mode: "lines+markers",
      line: { color: CURVES[name] },
      yaxis: OF_THE_METRIC.includes(name) ? "y" : "y2",
    }));
    const data = [...batchTraces(curve), ...epochs];
    const second = { overlaying: "y", side: "right", showgrid: false, title: { text: "loss" } };
    const layout = { height: narrow() ? 340 : 300, xaxis: { title: { text: "epoch" } }, yaxis: { title: { text: page.metric } } };
    if (data.some((trace) => trace.yaxis === "y2")) layout.yaxis2 = second;
    layout.legend = { orientation: "h", y: 1.15 };
    return { data, layout };
  }

  function openTrial(number) {
    const trial = page.trials[number];
    if (!trial) return;
    document.getElementById("trial-title").textContent = `Trial ${number}: ${trial.state}`;
    document.getElementById("trial-reason").textContent = trial.reason;
    explainWords(document.getElementById("trial-words"), trial.reason);
    fill(document.getElementById("trial-result"), trial.result);
    fill(document.getElementById("trial-config"), trial.config);
    fillEpochs(document.getElementById("trial-epochs"), trial.curve);
    const dialog = document.getElementById("trial"), plot = document.getElementById("trial-plot");
    hideTip();
    if (!dialog.open) dialog.showModal();
    document.getElementById("trial-title").focus();
    plot.hidden = trial.curve.length === 0;
    if (!plot.hidden) draw(plot, trialFigure(trial.curve));
  }

  // Definitions, one hover or one Tab away

  const tip = document.getElementById("tip");
  let waiting = 0;
  let focused = null;  // what the tip explains, where the keyboard asked for it

  function meaningOf(target) {
    const own = target.closest("[data-meaning]");
    if (own) return [own, own.dataset.meaning];
    const cell = target.closest("td");
    const head = cell && cell.closest("table").tHead?.rows[0]?.cells[cell.cellIndex];
    const known = head && (head.dataset.meaning ? head : head.querySelector("[data-meaning]"));
    return known ? [cell, known.dataset.meaning] : [null, ""];
  }

  function showTip(at, text) {
    // An open dialog covers the page, so the tip must be inside it.
    const dialog = document.getElementById("trial");
    (dialog.open ? dialog : document.body).append(tip);
    tip.textContent = text;
    tip.hidden = false;
    const place = at.getBoundingClientRect(), size = tip.getBoundingClientRect();
    const below = place.bottom + 6;
    const top = below + size.height > window.innerHeight ? place.top - size.height - 6 : below;
    tip.style.top = `${Math.max(4, top)}px`;
    tip.style.left = `${Math.max(4, Math.min(place.left, window.innerWidth - size.width - 8))}px`;
  }

  function hideTip() {
    clearTimeout(waiting);
    focused = null;
    tip.hidden = true;
  }

  function followTip() {
    if (focused) showTip(...focused);  // focus scrolls to what it reaches
    else hideTip();
  }

  function explain(event) {
    const hover = event.type === "mouseover";
    if (hover && focused) return;  // a page that scrolls passes under a mouse at rest
    hideTip();
    if (!(event.target instanceof Element)) return;
    if (!hover && !event.target.matches(":focus-visible")) return;
    const [at, text] = meaningOf(event.target);
    if (!text) return;
    if (hover) {
      waiting = setTimeout(showTip, 250, at, text);
    } else {
      focused = [at, text];
      showTip(at, text);
    }
  }

  for (const node of document.querySelectorAll("[title]")) {
    node.dataset.meaning = node.title;
    node.setAttribute("aria-description", node.title);
    node.removeAttribute("title");
  }
  document.addEventListener("mouseover", explain);
  document.addEventListener("focusin", explain);
  document.addEventListener("focusout", hideTip);
  document.addEventListener("scroll", followTip, true);
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") hideTip();
  });

  document.addEventListener("click", (event) => {
    const head = event.target.closest(".sortable th");
    if (head) return sortBy(head);
    const row = event.target.closest("[data-trial]");
    if (row) openTrial(row.dataset.trial);
  });
  document.getElementById("filter")?.addEventListener("input", (event) => filterBy(event.target.value));
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  window.matchMedia("(max-width: 640px)").addEventListener("change", redraw);
  drawAll();
})();
