// The diagram with what stands around it on a page: the legend, buttons, keys, and the message that is selected.

import { make } from './cards.js';
import { Diagram } from './diagram.js';

const $ = (id) => document.getElementById(id);

/** Puts the diagram into the page. Options: as the diagram's own; `stopOrGo`: what space does, if not stop following; `saved`: where
 * the whole picture can be had, otherwise what is to be seen is saved. */
export class Picture {
  constructor(options) {
    this.diagram = new Diagram($('diagram'), {
      ...options, clock: true, onSelect: showChosen, onView: (from, to, follows) => $('now').setAttribute('aria-pressed', String(follows)),
    });
    const { diagram } = this;
    diagram.legend($('legend'));
    showChosen(null);
    const follow = () => (diagram.following === null ? diagram.follow() : diagram.show(diagram.from, diagram.to));
    /** What keys do; a page may add others. */
    this.keys = {
      ' ': options.stopOrGo ?? follow,
      ArrowLeft: () => diagram.pan(-0.15),
      ArrowRight: () => diagram.pan(0.15),
      ArrowUp: () => diagram.zoom(0.7),
      ArrowDown: () => diagram.zoom(1 / 0.7),
      '[': () => diagram.step(-1),
      ']': () => diagram.step(1),
      '?': () => $('keys').showModal(),
      Escape: () => diagram.select(null),
    };
    const on = (id, act) => $(id).addEventListener('click', act);
    document.addEventListener('keydown', (event) => this.press(event));
    on('help', this.keys['?']);
    on('in', this.keys.ArrowUp);
    on('out', this.keys.ArrowDown);
    on('now', follow);
    on('picture', () => {
      const link = make('a');
      link.href = options.saved ?? diagram.canvas.toDataURL('image/png');
      link.download = `jangada.${options.saved ? 'svg' : 'png'}`;
      link.click();
    });
  }

  press(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || $('keys').open) return;
    const { target } = event;
    if (target.id === 'line') {
      if (event.key === 'Escape') target.blur();
      return;
    }
    // A button's own keys stay its own; the log scrolls with the arrows.
    if (target.matches('input, select, button') && [' ', 'ArrowLeft', 'ArrowRight', 'ArrowUp', 'ArrowDown'].includes(event.key)) return;
    if (target.matches('#said, #grid') && event.key.startsWith('Arrow')) return;
    const act = this.keys[event.key];
    if (!act) return;
    event.preventDefault();
    act();
  }

  /** Draws again and again, as time passes: `now()` says what time it is, in nanoseconds, or `null` to draw nothing. */
  run(now, last = 0) {
    const { diagram } = this;
    const wait = matchMedia('(prefers-reduced-motion: reduce)').matches ? 250 : 30;
    requestAnimationFrame((time) => {
      // Where much happens, there are fewer pictures: the browser has other things to do as well.
      if (time - last < Math.max(wait, 3 * (diagram.cost ?? 0)) || document.hidden) return this.run(now, last);
      const shown = now(time);
      if (shown !== null && diagram.following !== null) diagram.setNow(Math.max(0, shown));
      return this.run(now, time);
    });
  }
}

function showChosen(told) {
  const box = $('chosen');
  if (!told) {
    box.replaceChildren(make('h2', '', "Why?"), make('p', 'empty', 'Click an arrow to read what it was, why it was sent and what came of it; or walk through the messages with [ and ].'));
    return;
  }
  const pair = ([name, value]) => make('div', '', '', make('dt', '', name), make('dd', '', value));
  const facts = make('dl', '', '', ...told.facts.map(pair));
  const list = (title, lines) => (lines.length ? [make('h2', '', title), make('ul', '', '', ...lines.map((line) => make('li', '', line)))] : []);
  box.replaceChildren(make('h3', '', told.title), facts, make('p', `became ${told.fate ?? ''}`, told.became), make('p', 'why', told.why),
    ...list('Before it', told.before), ...list('And then', told.after));
  box.scrollTop = 0;
}
