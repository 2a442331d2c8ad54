// A recording as a page of its own: reads the rows that the page carries, and gives them to the diagram.
//
// A row is what `html.rs` writes: a letter and numbers for what there are many of, JSON for everything else. Rows are read
// a piece at a time, so that the page can be used while the rest of a million of them is still being read.

import { KINDS } from './model.js';
import { Diagram } from './diagram.js';
import { since, span } from './words.js';

const AT_ONCE = 40_000;

const head = JSON.parse(document.getElementById('head').textContent);
const told = document.getElementById('told');
const shown = document.getElementById('span');
const diagram = new Diagram(document.getElementById('diagram'), {
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
  before: () => diagram.pan(-0.3),
  after: () => diagram.pan(0.3),
};
const KEYS = { 0: 'fit', '+': 'in', '=': 'in', '-': 'out', ArrowLeft: 'before', ArrowRight: 'after' };

document.querySelector('nav').addEventListener('click', (event) => ACTS[event.target.dataset?.act]?.());
document.addEventListener('keydown', (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === '[' || event.key === ']') diagram.step(event.key === ']' ? 1 : -1);
  else if (KEYS[event.key]) ACTS[KEYS[event.key]]();
  else return;
  event.preventDefault();
});

load();
