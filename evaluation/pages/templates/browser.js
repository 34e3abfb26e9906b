// The browser of samples. All text of samples becomes text nodes, never markup.
"use strict";
(() => {
  const ROW = 48; // height of a row of the list in pixels, as in browser.css
  const MARGIN = 8; // rows rendered above and below the visible ones
  // From light to dark; black text is readable on each, and they differ in gray and for color-blind readers.
  const SCALE = [[255, 255, 204], [161, 218, 180], [65, 182, 196], [90, 150, 210]];
  // Characters that are invisible or reorder the text around them.
  const HIDDEN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u061c\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]/;
  const $ = (id) => document.getElementById(id);
  const state = { query: "", run: "", suite: "", statuses: new Set(), sample: null, tokens: true, side: false };
  let samples = [], shown = [], groups = new Map(), byName = new Map();

  function element(tag, attributes = {}, ...children) {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (name === "onclick") made.addEventListener("click", value);
      else if (value !== null && value !== undefined && value !== false) made.setAttribute(name, value);
    }
    made.append(...children.filter((child) => child !== null));
    return made;
  }

  // Reading

  async function read() {
    const text = atob($("sample-data").textContent.trim());
    const bytes = new Uint8Array(text.length);
    for (let index = 0; index < text.length; index++) bytes[index] = text.charCodeAt(index);
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    const lines = (await new Response(stream).text()).split("\n");
    lines.pop();
    return lines.map((line) => {
      const each = { answer: "", errors: [], diagnostics: [], facts: [], token_loops: null, depth: null,
        ...JSON.parse(line) };
      each.group = JSON.stringify([each.suite, each.problem, each.index]);
      each.name = JSON.stringify([each.run, each.suite, each.problem, each.index]);
      return each;
    });
  }

  // Filters

  function hasText(sample, words) {
    const found = (text) => text.toLowerCase().includes(words);
    return found(sample.problem) || found(sample.code) || found(sample.status) || sample.errors.some(found) ||
      sample.diagnostics.some((each) => found(each.message)) || found(sample.prompt) || found(sample.answer);
  }

  function filter() {
    const words = state.query.trim().toLowerCase();
    const others = samples.filter((each) => (!state.run || each.run === state.run) &&
      (!state.suite || each.suite === state.suite) && (!words || hasText(each, words)));
    shown = state.statuses.size ? others.filter((each) => state.statuses.has(each.status)) : others;
    renderChips(others);
    $("count").textContent = `${shown.length.toLocaleString("en")} of ${samples.length.toLocaleString("en")} samples`;
    $("rows").style.height = `${shown.length * ROW}px`;
    if (!shown.includes(state.sample)) select(shown[0] ?? null, false);
    else renderRows();
  }

  function renderChips(others) {
    const counts = new Map(), kinds = new Map();
    for (const each of samples) {
      if (!counts.has(each.status)) counts.set(each.status, 0);
      kinds.set(each.status, [undefined, each.kind].includes(kinds.get(each.status)) ? each.kind : "mixed");
    }
    for (const each of others) counts.set(each.status, counts.get(each.status) + 1);
    const focused = document.activeElement?.dataset?.status;
    $("chips").replaceChildren(...[...counts].sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1)).map(
      ([status, count]) => element("button", {
        type: "button", "aria-pressed": String(state.statuses.has(status)), "data-status": status,
        onclick: () => {
          if (!state.statuses.delete(status)) state.statuses.add(status);
          changed();
        },
      }, element("span", { class: `dot ${kinds.get(status)}` }), `${status || "not judged"} ${count.toLocaleString("en")}`),
    ));
    if (focused !== undefined) [...$("chips").children].find((each) => each.dataset.status === focused)?.focus();
  }

  function fill(select, values, all) {
    select.replaceChildren(element("option", { value: "" }, all),
      ...values.map((value) => element("option", { value }, value)));
    select.hidden = values.length < 2;
  }

  // List: only the visible rows exist

  function renderRows() {
    const list = $("list");
    const first = Math.max(0, Math.floor(list.scrollTop / ROW) - MARGIN);
    const last = Math.min(shown.length, Math.ceil((list.scrollTop + list.clientHeight) / ROW) + MARGIN);
    const several = { run: !$("run").hidden, suite: !$("suite").hidden };
    $("rows").replaceChildren(...shown.slice(first, last).map((each, offset) => {
      const more = [each.status || "not judged", ...each.errors, several.run ? each.run : "", several.suite ? each.suite : ""];
      const row = element("div", {
        class: "row", role: "option", id: `row-${first + offset}`, "aria-selected": String(each === state.sample),
        "aria-posinset": first + offset + 1, "aria-setsize": shown.length, onclick: () => select(each, true),
      },
      element("div", {}, element("span", { class: `dot ${each.kind}` }), element("b", {}, each.problem),
        element("span", {}, `\u00a0#${each.index}`)),
      element("div", { class: "more" }, element("span", {}, more.filter(Boolean).join(" \u00b7 "))));
      row.style.top = `${(first + offset) * ROW}px`;
      return row;
    }));
    const place = shown.indexOf(state.sample);
    if (place >= 0) list.setAttribute("aria-activedescendant", `row-${place}`);
    else list.removeAttribute("aria-activedescendant");
  }

  function reveal() {
    const list = $("list"), top = shown.indexOf(state.sample) * ROW;
    if (top < list.scrollTop) list.scrollTop = top;
    else if (top + ROW > list.scrollTop + list.clientHeight) list.scrollTop = top + ROW - list.clientHeight;
  }

  function move(by) {
    if (!shown.length) return;
    const place = shown.indexOf(state.sample) + by;
    select(shown[Math.min(shown.length - 1, Math.max(0, place))], true);
  }

  function select(sample, named) {
    state.sample = sample;
    reveal();
    renderRows();
    renderDetail();
    if (named) writeAddress();
  }

  // Code

  function color(loop, depth) {
    const place = depth > 1 ? ((loop - 1) / (depth - 1)) * (SCALE.length - 1) : 0;
    const below = Math.min(SCALE.length - 2, Math.floor(place)), share = place - below;
    const mixed = SCALE[below].map((value, index) => Math.round(value + (SCALE[below + 1][index] - value) * share));
    return `rgb(${mixed.join(" ")})`;
  }

  function text(value) {
    // A hidden character is shown by its number.
    return value.split(new RegExp(`(${HIDDEN.source})`, "u")).map((part) => HIDDEN.test(part)
      ? element("span", { class: "hidden-character" }, `U+${part.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}`)
      : part);
  }

  function segments(sample) {
    const found = [{ text: sample.prompt, prompt: true }];
    if (!state.tokens || !sample.token_loops) return [...found, { text: sample.code }];
    const characters = [...sample.code];
    let from = 0;
    for (const [length, loop] of sample.token_loops) {
      if (length) found.push({ text: characters.slice(from, from + length).join(""), loop });
      from += length;
    }
    return [...found, { text: characters.slice(from).join("") }];
  }

  function lines(sample) {
    const found = [[]];
    for (const segment of segments(sample)) {
      segment.text.split("\n").forEach((part, index) => {
        if (index) found.push([]);
        if (part) found[found.length - 1].push({ ...segment, text: part });
      });
    }
    return found;
  }

  function piece(segment, value, marked, depth) {
    const loop = segment.loop;
    const classes = [segment.prompt && "prompt", loop && "token", marked && "spot"].filter(Boolean).join(" ");
    if (!classes) return text(value);
    const title = loop ? `left after loop ${loop} of ${depth}` : null;
    const made = element("span", { class: classes, title, "data-loop": loop }, ...text(value));
    if (loop) made.style.background = color(loop, depth);
    return [made];
  }

  function marks(diagnostics) {
    // Columns from 0; the number of carets in rustc's message is the length of the span.
    return diagnostics.filter((each) => each.column).map((each) => {
      const carets = /^\s*\|[^\n^]*?(\^+)/m.exec(each.rendered);
      return [each.column - 1, each.column - 1 + (carets ? carets[1].length : 1)];
    });
  }

  function renderLine(parts, number, diagnostics, depth) {
    const spans = marks(diagnostics), children = [];
    let column = 0;
    for (const part of parts) {
      const characters = [...part.text];
      let from = 0;
      while (from < characters.length) {
        const inside = (index) => spans.some(([start, end]) => index >= start && index < end);
        const marked = inside(column + from);
        let to = from + 1;
        while (to < characters.length && inside(column + to) === marked) to++;
        children.push(...piece(part, characters.slice(from, to).join(""), marked, depth));
        from = to;
      }
      column += characters.length;
    }
    return element("div", { class: diagnostics.length ? "line marked" : "line" },
      element("span", { class: "number" }, String(number)), element("span", { class: "text" }, ...children));
  }

  function note(each) {
    const head = each.code ? `error[${each.code}]: ` : "error: ";
    const place = each.line ? ` (line ${each.line}${each.column ? `, column ${each.column}` : ""})` : "";
    return element("div", { class: "note" }, element("b", {}, head), ...text(each.message),
      element("span", { class: "label" }, place), each.rendered
        ? element("details", {}, element("summary", {}, "as rustc prints it"), element("pre", {}, ...text(each.rendered)))
        : null);
  }

  function depthOf(sample) {
    return Math.max(sample.depth ?? 1, ...(sample.token_loops ?? []).map(([, loop]) => loop));
  }

  function code(sample) {
    const all = lines(sample), depth = depthOf(sample);
    const at = (number) => sample.diagnostics.filter((each) => each.line === number);
    const rendered = all.flatMap((parts, index) => [renderLine(parts, index + 1, at(index + 1), depth),
      ...at(index + 1).map(note)]);
    const elsewhere = sample.diagnostics.filter((each) => !each.line || each.line > all.length);
    return element("div", {}, element("div", { class: "code" }, ...rendered),
      elsewhere.length ? element("h4", {}, "Errors outside this code, such as in the tests") : null,
      ...elsewhere.map(note));
  }

  function legend(group) {
    const counts = new Map();
    for (const sample of group) {
      for (const [length, loop] of sample.token_loops ?? []) counts.set(loop, (counts.get(loop) ?? 0) + 1);
    }
    if (!state.tokens || !counts.size) return null;
    const depth = Math.max(...group.map(depthOf)), made = element("div", { class: "legend" }, "tokens that left after");
    for (let loop = 1; loop <= depth; loop++) {
      const entry = element("i", {}, `loop ${loop}: ${counts.get(loop) ?? 0}`);
      entry.style.background = color(loop, depth);
      made.append(entry);
    }
    return made;
  }

  // Detail

  function toggle(name, label, key) {
    return element("button", { type: "button", "aria-pressed": String(state[name]), id: `toggle-${name}`, onclick: () => {
      state[name] = !state[name];
      renderDetail();
      $(`toggle-${name}`)?.focus();
      writeAddress();
    } }, label, " ", element("kbd", {}, key));
  }

  function heading(sample, level, label) {
    return [
      element(level, {}, label),
      element("div", { class: "label" }, element("span", { class: `dot ${sample.kind}` }),
        [sample.status || "not judged", ...sample.errors, ...sample.facts].join(" \u00b7 ")),
    ];
  }

  function body(sample) {
    return [code(sample), sample.answer ? element("details", {}, element("summary", {}, "Whole answer"),
      element("pre", {}, ...text(sample.answer))) : null];
  }

  function renderDetail() {
    const sample = state.sample, detail = $("detail");
    detail.scrollTop = 0;
    if (!sample) {
      detail.replaceChildren(element("p", { class: "label" }, "No sample matches."));
      return;
    }
    const group = groups.get(sample.group);
    const side = state.side && group.length > 1;
    const visible = side ? group : [sample];
    const tools = element("div", { class: "tools" },
      visible.some((each) => each.token_loops) ? toggle("tokens", "Color tokens by loop", "t") : null,
      group.length > 1 ? toggle("side", `Side by side: ${group.length} results`, "s") : null);
    const title = `${sample.problem} #${sample.index}`;
    const label = [sample.suite, sample.run].filter(Boolean).join(" \u00b7 ");
    detail.replaceChildren(...[
      ...(side ? [element("h3", {}, title)] : heading(sample, "h3", title)),
      element("div", { class: "label" }, side ? sample.suite : label), tools.children.length ? tools : null,
      legend(visible),
      side
        ? element("div", { class: "columns" }, ...group.map((each) => element("div", {},
          ...heading(each, "h4", each.run + (each.depth ? ` \u00b7 ${each.depth} loop${each.depth > 1 ? "s" : ""}` : "")),
          ...body(each).filter(Boolean))))
        : null,
      ...(side ? [] : body(sample)),
    ].filter(Boolean));
  }

  // Address: #sample=...&q=...&status=...

  function writeAddress() {
    const values = new URLSearchParams();
    if (state.sample) values.set("sample", state.sample.name);
    for (const [name, value] of [["q", state.query], ["run", state.run], ["suite", state.suite],
      ["status", [...state.statuses].join(",")], ["side", state.side ? "1" : ""]]) if (value) values.set(name, value);
    history.replaceState(null, "", `#${values}`);
  }

  function readAddress() {
    const values = new URLSearchParams(location.hash.slice(1));
    const sample = byName.get(values.get("sample"));
    if (location.hash.length > 1 && !location.hash.includes("=")) return; // a heading of the page
    state.query = values.get("q") ?? "";
    state.run = values.get("run") ?? "";
    state.suite = values.get("suite") ?? "";
    state.side = values.get("side") === "1";
    state.statuses = new Set((values.get("status") ?? "").split(",").filter(Boolean));
    $("search").value = state.query;
    $("run").value = state.run;
    $("suite").value = state.suite;
    state.sample = sample ?? null;
    filter();
    if (sample && shown.includes(sample)) {
      select(sample, false);
      $("browser").scrollIntoView();
    }
  }

  function changed() {
    $("list").scrollTop = 0;
    filter();
    writeAddress();
  }

  // Keyboard

  function typing(target) {
    return target.matches?.("input, select, textarea");
  }

  function onKey(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "Escape" && typing(event.target)) return event.target.blur();
    if (typing(event.target)) return undefined;
    const inList = event.target === $("list"), page = Math.floor($("list").clientHeight / ROW);
    const steps = { j: 1, k: -1, ...(inList ? { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page,
      Home: -samples.length, End: samples.length } : {}) };
    if (event.key in steps) move(steps[event.key]);
    else if (event.key === "/") $("search").focus();
    else if (event.key === "t") $("toggle-tokens")?.click();
    else if (event.key === "s") $("toggle-side")?.click();
    else return undefined;
    return event.preventDefault();
  }

  async function start() {
    $("loading").hidden = false;
    samples = await read();
    for (const each of samples) {
      byName.set(each.name, each);
      if (!groups.has(each.group)) groups.set(each.group, []);
      groups.get(each.group).push(each);
    }
    for (const group of groups.values()) {
      // Fixed depths in ascending order, then those at which tokens leave early.
      group.sort((a, b) => (a.depth ?? 0) - (b.depth ?? 0) || Boolean(a.token_loops) - Boolean(b.token_loops));
    }
    const values = (name) => [...new Set(samples.map((each) => each[name]))];
    fill($("run"), values("run"), "all results");
    fill($("suite"), values("suite"), "all benchmarks");
    let waiting = 0;
    $("search").addEventListener("input", () => {
      clearTimeout(waiting);
      waiting = setTimeout(() => {
        state.query = $("search").value;
        changed();
      }, 150);
    });
    for (const name of ["run", "suite"]) {
      $(name).addEventListener("change", () => {
        state[name] = $(name).value;
        changed();
      });
    }
    $("list").addEventListener("scroll", renderRows);
    addEventListener("resize", renderRows);
    addEventListener("hashchange", readAddress);
    addEventListener("keydown", onKey);
    $("loading").hidden = true;
    $("browser").hidden = false;
    filter();
    readAddress();
    document.documentElement.dataset.ready = String(Math.round(performance.now()));
  }

  start().catch((error) => {
    $("loading").hidden = false;
    $("loading").textContent = `The samples cannot be shown: ${error.message}`;
  });
})();
