// A recording as a page of its own: reads the rows that the page carries, and gives them to the diagram.
//
// A row is what `html.rs` writes: a letter and numbers for what there are many of, JSON for everything else. Rows are read
// a piece at a time, so that the page can be used while the rest of a million of them is still being read.

import { KINDS } from './model.js';
import { Diagram, SMALL } from './diagram.js';
import { since, span } from './words.js';

const AT_ONCE = 40_000;

const head = JSON.parse(document.getElementById('head').textContent);
const told = document.getElementById('told');
const shown = document.getElementById('span');

/** Half of the gap in the lanes where time is folded, in pixels. */
const GAP = 4;

/**
 * The diagram of a recording: stretches in which nothing is to be seen are folded, each to the same width. Times are
 * spread out (`even`) before they become places; a fold has as much of that as `head.fold_ns` nanoseconds elsewhere.
 */
class Folded extends Diagram {
  get folds() {
    return this.isEven ? [] : head.folds;
  }

  /** How far from the beginning a time is, in nanoseconds of what is not folded. */
  even(time) {
    let even = time;
    for (const [begin, end] of this.folds) {
      if (time <= begin) break;
      even -= (Math.min(time, end) - begin) * (1 - head.fold_ns / (end - begin));
    }
    return even;
  }

  /** And back again. */
  uneven(even) {
    let time = even;
    for (const [begin, end] of this.folds) {
      if (time <= begin) break;
      time = Math.min(time - begin, head.fold_ns) * ((end - begin) / head.fold_ns) + begin + Math.max(0, time - begin - head.fold_ns);
    }
    return time;
  }

  /** Both ends of what is shown, spread out: asked for with each of a million messages, and the same for all of them. */
  ends() {
    const { from, to, isEven, kept } = this;
    if (kept?.from !== from || kept.to !== to || kept.isEven !== isEven) this.kept = { from, to, isEven, ends: [this.even(from), this.even(to)] };
    return this.kept.ends;
  }

  x(time) {
    const [from, to] = this.ends();
    return this.gutter + ((this.even(time) - from) / (to - from)) * this.plot;
  }

  timeAt(x) {
    const [from, to] = this.ends();
    return this.uneven(from + ((x - this.gutter) / this.plot) * (to - from));
  }

  zoom(factor, at = this.gutter + this.plot / 2) {
    const [from, to] = this.ends();
    const here = this.even(this.timeAt(at));
    return this.show(this.uneven(here - (here - from) * factor), this.uneven(here + (to - here) * factor));
  }

  pan(part) {
    const [from, to] = this.ends();
    const by = part * (to - from);
    this.show(this.uneven(from + by), this.uneven(to + by));
  }

  /** Lines at round times, and where time is folded: for how long. */
  drawRuler() {
    const { paper, color } = this;
    const [from, to] = this.ends();
    const least = (to - from) / Math.max(2, this.plot / 96);
    const power = 10 ** Math.floor(Math.log10(least));
    const step = [1, 2, 5, 10].map((times) => times * power).find((candidate) => candidate >= least);
    const decimals = Math.max(0, Math.min(9, 9 - Math.floor(Math.log10(step) + 1e-9)));
    paper.font = SMALL;
    this.drawFolds();
    paper.strokeStyle = color.faint;
    paper.lineWidth = 1;
    for (const [begin, end] of this.stretches()) {
      let first = Math.ceil(Math.max(begin, 0) / step) * step;
      // Where no round time lies, the first one does.
      if (first > end) first = begin;
      for (let time = first; time <= end; time += step) {
        const x = Math.round(this.x(time)) + 0.5;
        paper.beginPath();
        paper.moveTo(x, 18);
        paper.lineTo(x, this.height);
        paper.stroke();
        if (x < this.width - 52) this.label(since(time, time % step ? Math.min(9, decimals + 1) : decimals), x + 3, 13, color.muted);
      }
    }
  }

  /** What is in sight between the folds. */
  stretches() {
    const found = [];
    let begin = this.from;
    for (const [from, until] of this.folds) {
      if (until <= begin || from >= this.to) continue;
      if (from > begin) found.push([begin, from]);
      begin = until;
    }
    if (begin < this.to) found.push([begin, this.to]);
    return found;
  }

  drawFolds() {
    const { paper, color } = this;
    for (const [begin, end] of this.folds.filter(([from, until]) => until > this.from && from < this.to)) {
      const x = this.x((begin + end) / 2);
      const text = span(end - begin);
      this.label(text, x - paper.measureText(text).width / 2, 13, color.band);
      // Nothing is written over the gap.
      this.labels.push([x - GAP - 3, 18, x + GAP + 3, this.height]);
    }
  }

  /** The gap itself, above the lanes. */
  drawNow() {
    super.drawNow();
    const { paper, color } = this;
    for (const [begin, end] of this.folds) {
      const x = this.x((begin + end) / 2);
      paper.fillStyle = color.paper;
      paper.fillRect(x - GAP, 18, 2 * GAP, this.height);
      paper.strokeStyle = color.band;
      paper.lineWidth = 1;
      paper.setLineDash([2, 4]);
      for (const side of [x - GAP, x + GAP]) {
        paper.beginPath();
        paper.moveTo(side, 18);
        paper.lineTo(side, this.height);
        paper.stroke();
      }
      paper.setLineDash([]);
      for (const { y } of this.model.servers) {
        for (const side of [x - GAP, x + GAP]) {
          paper.beginPath();
          paper.moveTo(side - 3, y + 6);
          paper.lineTo(side + 3, y - 6);
          paper.stroke();
        }
      }
    }
  }
}

const diagram = new Folded(document.getElementById('diagram'), {
  grace: head.grace_ns,
  onSelect: tell,
  onView: (from, to) => { shown.textContent = `${since(Math.max(0, from))} and ${span(to - from)} more`; },
});
diagram.legend(document.getElementById('legend'));

/** The record of a row, and the time of the row before it. */
function read(row, before) {
  const [letter, ...fields] = row.split(' ');
  if (letter === 'j') return JSON.parse(row.slice(2));
  const [later, node, a, b, c, d, e, f] = fields.map(Number);
  const record = { time_ns: before + later, node: head.servers[node], seq: 0 };
  switch (letter) {
    case 's': return { ...record, event: 'sent', to: head.servers[a], sequence: b, term: c, kind: KINDS[d], index: e, count: f };
    case 'r': return { ...record, event: 'received', from: head.servers[a], sequence: b, term: c, kind: KINDS[d], index: e, count: f };
    case 'a': return { ...record, event: 'appended', first: a, last: b, term: c };
    case 'd': return { ...record, event: 'durable', last: a };
    case 'c': return { ...record, event: 'committed', index: a, term: b };
    default: return { ...record, event: letter };
  }
}

/** Reads all rows, some at a time. */
function load() {
  const text = document.getElementById('rows').textContent;
  let [at, before] = [0, 0];
  const some = () => {
    const records = [];
    while (records.length < AT_ONCE && at < text.length) {
      const end = text.indexOf('\n', at);
      const row = text.slice(at, end < 0 ? text.length : end);
      at = end < 0 ? text.length : end + 1;
      if (!row) continue;
      const record = read(row, before);
      before = record.time_ns;
      records.push(record);
    }
    diagram.push(records);
    if (at >= text.length) return finish();
    shown.textContent = `reading: ${Math.round((100 * at) / text.length)} %`;
    setTimeout(some);
    return undefined;
  };
  some();
}

function finish() {
  diagram.setNow(head.to_ns);
  diagram.show(head.from_ns, head.to_ns);
  document.body.dataset.state = 'ready';
}

/** Fills the lower part with what was selected. */
function tell(what) {
  told.replaceChildren();
  const add = (name, text, parent = told) => {
    const element = document.createElement(name);
    element.textContent = text;
    parent.append(element);
    return element;
  };
  if (!what) {
    add('p', 'Nothing is selected.').className = 'muted';
    return;
  }
  add('h2', what.title);
  const facts = add('dl', '');
  for (const [name, value] of what.facts) {
    const pair = add('div', '', facts);
    add('dt', name, pair);
    add('dd', value, pair);
  }
  for (const text of [what.why, what.became]) if (text) add('p', text);
  for (const [title, lines] of [['just before', what.before], ["then", what.after]]) {
    if (!lines?.length) continue;
    add('p', title).className = 'muted';
    const list = add('ul', '');
    for (const line of lines) add('li', typeof line === 'string' ? line : line.text ?? JSON.stringify(line), list);
  }
}

const ACTS = {
  fit: () => diagram.fit(),
  in: () => diagram.zoom(0.5),
  out: () => diagram.zoom(2),
  folds: (button) => {
    diagram.isEven = !diagram.isEven;
    button.setAttribute('aria-pressed', String(!diagram.isEven));
    diagram.redraw();
  },
  before: () => diagram.pan(-0.3),
  after: () => diagram.pan(0.3),
};
const KEYS = { 0: 'fit', '+': 'in', '=': 'in', '-': 'out', ArrowLeft: 'before', ArrowRight: 'after' };

document.querySelector('nav').addEventListener('click', (event) => ACTS[event.target.dataset?.act]?.(event.target));
if (!head.folds.length) document.querySelector('[data-act=folds]').remove();
document.addEventListener('keydown', (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === '[' || event.key === ']') diagram.step(event.key === ']' ? 1 : -1);
  else if (KEYS[event.key]) ACTS[KEYS[event.key]]();
  else return;
  event.preventDefault();
});

load();
