// A space-time diagram on a canvas: time to the right, one lane for each server, an arrow for each message.
//
//   import { Diagram } from './diagram.js';
//   const diagram = new Diagram(element, { onSelect: (told) => ... });
//   diagram.push(records);             // objects as in docs/events.md and model.js; may be called again and again
//   diagram.fit();                     // all that there is; or diagram.show(fromNanos, toNanos)
//   diagram.legend(otherElement);      // what the colours mean, as buttons that hide and show
//
// Options: `onSelect(told)`: somebody chose a message or an event, as `{title, facts, why, became, before, after}`, or
// nothing (`null`); `onView(from, to, follows)`: another span is shown; `heartbeats`: draw them, too; `keep`: so many
// records at most, the oldest go first; `clock`: only `setNow` says what time it is; `grace`: nanoseconds until a message without an arrival counts as lost.
//
// Methods: `push`, `clear`, `fit`, `show`, `zoom(factor)`, `pan(part)`, `follow(spanNanos)`, `setNow(nanos)`,
// `step(1 or -1)` to the next message, `select(message or null)`, `legend`, `redraw`, `destroy`. `model` has the data.
//
// Colours are the CSS properties --d-* of the element, with defaults for light and dark. Only what is visible is drawn,
// and where many things fall on one pixel, one of them.

import { KINDS, Model } from './model.js';
import { roleWord, sentence, shortMessage, since, span, stateWord, tellMessage } from './words.js';

/** Families of messages: what they are called, and which kinds belong to them. */
const FAMILIES = [
  ['election', "votes", ['pre_vote', 'pre_vote_reply', 'vote', 'vote_reply', 'timeout_now']],
  ['log', "entries", ['append', 'append_accepted']],
  ['refused', "refusals", ['append_refused']],
  ['snapshot', "snapshots", ['snapshot', 'snapshot_reply']],
  ['read', "reads", ['read_index', 'read_index_reply']],
  ['heartbeat', "heartbeats", ['heartbeat']],
];
const FAMILY = KINDS.map((kind) => FAMILIES.findIndex(([, , kinds]) => kinds.includes(kind)));
const HEARTBEATS = FAMILIES.length - 1;

// No two of what messages are drawn in look alike to anybody, whatever colours they see; shapes say the same once more.
const LIGHT = {
  paper: '#ffffff', ink: '#1b2530', muted: '#5f6b78', faint: '#dfe4ea', lane: '#aeb8c2', band: '#8a6d00', bandFill: 'rgba(214,164,0,.13)',
  leader: '#b26a00', candidate: '#9a0f90', follower: '#64748b', down: '#b42318', election: '#9a0f90', log: '#0b6be0',
  refused: '#8f5200', snapshot: '#3d0cc4', read: '#12603f', heartbeat: '#98a3ae', commit: '#1f7a3d', select: '#111111',
};
const DARK = {
  paper: '#12181f', ink: '#e4e9ee', muted: '#97a3b0', faint: '#27313b', lane: '#4d5966', band: '#e8c468', bandFill: 'rgba(232,196,104,.12)',
  leader: '#f2b84b', candidate: '#da4cf3', follower: '#93a1b0', down: '#ff7b72', election: '#da4cf3', log: '#8fbff8',
  refused: '#e6b65c', snapshot: '#fb560b', read: '#3fc49c', heartbeat: '#66727f', commit: '#56c271', select: '#ffffff',
};
const HEAD = '<path d="M0 5h18"/><path d="M25 5l-9-4v8z" fill="currentColor"/>';
/** What each family's arrows look like, for the legend: a dot where a vote begins, a bar where something is refused … */
const SHAPES = {
  election: `<circle cx="3" cy="5" r="2" fill="currentColor"/>${HEAD}`, log: HEAD, refused: '<path d="M0 5h22M22 0v10"/>',
  snapshot: `<path d="M1 2h5v6H1z" fill="currentColor"/>${HEAD}`, read: '<path d="M0 5h16M24 5l-8-3v6z"/>',
  heartbeat: '<path d="M4 1v8M13 1v8M22 1v8"/>',
};

const TOP = 40;
const BOTTOM = 10;
const MAX_ARROWS = 4000;
/** Shortest and longest span that can be shown. */
const SPANS = [20_000, 7.2e12];
const FONT = '12px system-ui, sans-serif';
/** The font of what stands beside things. */
export const SMALL = '11px system-ui, sans-serif';

/** The diagram; see the top of this file. */
export class Diagram {
  constructor(element, options = {}) {
    this.element = element;
    this.options = { heartbeats: false, keep: Infinity, grace: 4e8, ...options };
    this.canvas = document.createElement('canvas');
    this.canvas.tabIndex = 0;
    this.canvas.setAttribute('role', 'img');
    this.canvas.style.cssText = 'display:block;width:100%;height:100%;touch-action:none;cursor:crosshair';
    element.append(this.canvas);
    this.hidden = new Set(this.options.heartbeats ? [] : [HEARTBEATS]);
    this.listeners = new AbortController();
    this.watch();
    this.clear();
  }

  // ---- Data -----------------------------------------------------------------------------------------------

  /** Forgets all records; the span that is shown stays. */
  clear() {
    this.model = new Model();
    this.chunks = [];
    this.kept = 0;
    this.now = 0;
    this.from ??= 0;
    this.to ??= 2e9;
    this.following ??= null;
    this.select(null);
  }

  /** Takes more records. */
  push(records) {
    this.model.push(records);
    if (this.options.keep < Infinity) this.trim(records);
    if (!this.options.clock && this.model.end > this.now) this.setNow(this.model.end);
    this.redraw();
  }

  trim(records) {
    this.chunks.push(records);
    this.kept += records.length;
    if (this.kept <= this.options.keep) return;
    while (this.kept > this.options.keep / 2 && this.chunks.length > 1) this.kept -= this.chunks.shift().length;
    const begin = this.chunks[0].reduce((least, record) => Math.min(least, record.time_ns), Infinity);
    const model = new Model();
    model.push(this.model.standing(begin));
    for (const chunk of this.chunks) model.push(chunk);
    this.model = model;
    this.selected = null;
  }

  // ---- The span that is shown -----------------------------------------------------------------------------

  /** Shows this span, in nanoseconds, and follows the present no more. */
  show(from, to) {
    this.following = null;
    this.look(from, to);
  }

  look(from, to) {
    const wide = Math.min(Math.max(to - from, SPANS[0]), SPANS[1]);
    this.from = Math.max(from, -wide);
    this.to = this.from + wide;
    this.options.onView?.(this.from, this.to, this.following !== null);
    this.redraw();
  }

  /** Shows all that there is. */
  fit() {
    if (this.model.begin > this.model.end) return;
    const margin = Math.max((this.model.end - this.model.begin) * 0.03, 1e5);
    this.show(this.model.begin - margin, this.model.end + margin);
  }

  /** Keeps the present in sight, and so much before it. */
  follow(wide = this.to - this.from) {
    this.following = wide;
    this.setNow(this.now);
  }

  /** What time it is: nothing later is drawn, and what was not received by then is not yet lost. */
  setNow(now) {
    this.now = now;
    // At the beginning there is nothing to the left of it.
    const wide = this.following;
    const from = Math.max(now - wide * 0.96, -wide * 0.01);
    if (wide !== null) this.look(from, from + wide);
    else this.redraw();
  }

  /** Closer or further; the present stays where it is if it is followed, otherwise the time under `at`. */
  zoom(factor, at = this.gutter + this.plot / 2) {
    const wide = Math.min(Math.max((this.to - this.from) * factor, SPANS[0]), SPANS[1]);
    if (this.following !== null) return this.follow(wide);
    const time = this.timeAt(at);
    const part = (time - this.from) / (this.to - this.from);
    return this.show(time - part * wide, time + (1 - part) * wide);
  }

  /** To the right or left by this part of the span. */
  pan(part) {
    const wide = this.to - this.from;
    this.show(this.from + part * wide, this.to + part * wide);
  }

  timeAt(x) {
    return this.from + ((x - this.gutter) / this.plot) * (this.to - this.from);
  }

  x(time) {
    return this.gutter + ((time - this.from) / (this.to - this.from)) * this.plot;
  }

  // ---- What is selected -----------------------------------------------------------------------------------

  /** Selects a message by its number, or nothing. */
  select(message) {
    this.selected = message;
    this.options.onSelect?.(message === null ? null : tellMessage(this.model, message, this.now, this.options.grace), message);
    this.redraw();
  }

  /** The next visible message after the selected one, or the one before it. */
  step(direction) {
    const { model } = this;
    const here = this.selected === null ? (direction > 0 ? this.from : this.to) : model.sent.data[this.selected];
    let best = null;
    const better = (message) => {
      const sent = model.sent.data[message];
      const ahead = direction * (sent - here) || direction * (message - (this.selected ?? message));
      if (!(ahead > 0) || !this.isShown(message) || sent > this.now) return;
      const rank = [direction * sent, direction * message];
      if (!best || rank[0] < best.rank[0] || (rank[0] === best.rank[0] && rank[1] < best.rank[1])) best = { message, rank };
    };
    for (const [from, to] of direction > 0 ? [[here, this.to], [here, this.now]] : [[this.from, here], [0, here]]) {
      model.walkMessages(from, to, better);
      if (best) break;
    }
    if (!best) return;
    const sent = model.sent.data[best.message];
    if (sent < this.from || sent > this.to) this.show(sent - (this.to - this.from) / 2, sent + (this.to - this.from) / 2);
    else this.following = null;
    this.select(best.message);
  }

  isShown(message) {
    const { model } = this;
    if (this.hidden.has(FAMILY[model.kind.data[message]])) return false;
    return !(model.folded.data[message] && this.hidden.has(HEARTBEATS)) && !Number.isNaN(model.sent.data[message]);
  }

  /** What lies at a point: the nearest arrow, or an event. */
  pick(x, y) {
    const reach = 9;
    const margin = ((this.to - this.from) / this.plot) * reach;
    const time = this.timeAt(x);
    let best = null;
    for (const mark of this.marks) {
      const distance = Math.hypot(mark.x - x, mark.y - y) - 4;
      if (distance < reach && (!best || distance < best.distance)) best = { distance, event: mark.event };
    }
    this.model.walkMessages(time - margin, time + margin, (message) => {
      if (!this.isShown(message)) return;
      const line = this.line(message);
      if (!line) return;
      const distance = distanceTo(line, x, y) + 1;
      if (distance < reach && (!best || distance < best.distance)) best = { distance, message };
    });
    if (!best) return this.select(null);
    if (best.message !== undefined) return this.select(best.message);
    this.selected = null;
    const { event } = best;
    const facts = [["at", since(event.time_ns, 6)], ["event", event.event]];
    this.options.onSelect?.({ title: event.node, facts, became: '', why: `${event.node} ${sentence(event) ?? event.event}`, before: [], after: [] }, null);
    return this.redraw();
  }

  // ---- Hands ----------------------------------------------------------------------------------------------

  watch() {
    const { canvas } = this;
    const on = (target, name, act, more = {}) => target.addEventListener(name, act, { signal: this.listeners.signal, ...more });
    const fingers = new Map();
    let moved = 0;
    on(canvas, 'wheel', (event) => {
      event.preventDefault();
      if (event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY)) this.pan((event.deltaX || event.deltaY) / this.plot);
      else this.zoom(1.0015 ** event.deltaY, event.offsetX);
    }, { passive: false });
    on(canvas, 'pointerdown', (event) => {
      canvas.setPointerCapture(event.pointerId);
      fingers.set(event.pointerId, event.offsetX);
      moved = 0;
    });
    on(canvas, 'pointermove', (event) => {
      const before = fingers.get(event.pointerId);
      if (before === undefined) return;
      const others = [...fingers].filter(([id]) => id !== event.pointerId).map(([, x]) => x);
      fingers.set(event.pointerId, event.offsetX);
      moved += Math.abs(event.offsetX - before);
      if (others.length) {
        const [was, is] = [Math.abs(before - others[0]), Math.abs(event.offsetX - others[0])];
        if (is > 8) this.zoom(was / is, (event.offsetX + others[0]) / 2);
      } else if (moved > 4) this.pan((before - event.offsetX) / this.plot);
    });
    on(canvas, 'pointerup', (event) => {
      if (fingers.delete(event.pointerId) && moved <= 4) this.pick(event.offsetX, event.offsetY);
    });
    on(canvas, 'pointercancel', (event) => fingers.delete(event.pointerId));
    this.resizes = new ResizeObserver(() => this.redraw());
    this.resizes.observe(this.element);
    on(matchMedia('(prefers-color-scheme: dark)'), 'change', () => this.redraw());
  }

  /** Takes the canvas away, and listens no more. */
  destroy() {
    this.listeners.abort();
    this.resizes.disconnect();
    this.canvas.remove();
  }

  /** What the colours mean: a button for each family of messages, which hides and shows it. */
  legend(element) {
    element.replaceChildren(...FAMILIES.map(([family, name], place) => {
      const button = document.createElement('button');
      button.type = 'button';
      button.className = `legend ${family}`;
      button.innerHTML = `<svg width="26" height="10" fill="none" stroke="currentColor" stroke-width="1.6">${SHAPES[family]}</svg>`;
      button.firstChild.style.color = `light-dark(${LIGHT[family]},${DARK[family]})`;
      button.append(name);
      button.title = `show or hide ${name}`;
      button.setAttribute('aria-pressed', String(!this.hidden.has(place)));
      button.addEventListener('click', () => {
        if (!this.hidden.delete(place)) this.hidden.add(place);
        button.setAttribute('aria-pressed', String(!this.hidden.has(place)));
        this.redraw();
      });
      return button;
    }));
  }

  // ---- Painting -------------------------------------------------------------------------------------------

  /** Draws with the next picture of the screen. */
  redraw() {
    this.pending ??= requestAnimationFrame(() => {
      this.pending = null;
      const begun = performance.now();
      this.draw();
      /** How many milliseconds the last picture took. */
      this.cost = performance.now() - begun;
    });
  }

  colors() {
    const style = getComputedStyle(this.element);
    const dark = style.colorScheme === 'dark' || (style.colorScheme !== 'light' && matchMedia('(prefers-color-scheme: dark)').matches);
    const colors = Object.entries(dark ? DARK : LIGHT);
    return Object.fromEntries(colors.map(([name, color]) => [name, style.getPropertyValue(`--d-${name}`).trim() || color]));
  }

  draw() {
    const { canvas, model } = this;
    const [width, height] = [this.element.clientWidth, this.element.clientHeight];
    if (!width || !height) return;
    const ratio = window.devicePixelRatio || 1;
    if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
      canvas.width = Math.round(width * ratio);
      canvas.height = Math.round(height * ratio);
    }
    this.paper = canvas.getContext('2d');
    this.paper.setTransform(ratio, 0, 0, ratio, 0, 0);
    this.color = this.colors();
    this.width = width;
    this.height = height;
    this.gutter = width < 600 ? 44 : 128;
    this.plot = width - this.gutter;
    this.gap = (height - TOP - BOTTOM) / Math.max(model.servers.length, 1);
    model.servers.forEach((server, place) => { server.y = TOP + this.gap * (place + 0.5); });
    this.labels = [];
    this.marks = [];
    const { paper } = this;
    paper.fillStyle = this.color.paper;
    paper.fillRect(0, 0, width, height);
    if (!model.servers.length) return this.drawEmpty();
    paper.save();
    paper.beginPath();
    paper.rect(this.gutter, 0, this.plot, height);
    paper.clip();
    this.drawRuler();
    this.drawNetwork();
    for (const server of model.servers) this.drawLane(server);
    const shown = this.drawArrows();
    this.drawEvents(shown);
    for (const server of model.servers) this.drawRoles(server);
    this.drawNow();
    paper.restore();
    this.drawNames();
    canvas.setAttribute('aria-label', `Space-time diagram of ${model.servers.length} servers from ${since(this.from)} to ${since(this.to)}, ${shown} messages`);
    return undefined;
  }

  drawEmpty() {
    this.paper.font = FONT;
    this.label('Nothing has happened yet', 20, 40, this.color.muted);
  }

  drawRuler() {
    const { paper } = this;
    const wide = this.to - this.from;
    const least = wide / Math.max(2, this.plot / 96);
    const power = 10 ** Math.floor(Math.log10(least));
    const step = [1, 2, 5, 10].map((times) => times * power).find((candidate) => candidate >= least);
    const decimals = Math.max(0, Math.min(9, 9 - Math.floor(Math.log10(step) + 1e-9)));
    paper.font = SMALL;
    paper.fillStyle = this.color.muted;
    paper.strokeStyle = this.color.faint;
    paper.lineWidth = 1;
    paper.beginPath();
    for (let time = Math.max(0, Math.ceil(this.from / step) * step); time <= this.to; time += step) {
      const x = Math.round(this.x(time)) + 0.5;
      paper.moveTo(x, 18);
      paper.lineTo(x, this.height);
      if (x < this.width - 52) paper.fillText(since(time, decimals), x + 3, 13);
    }
    paper.stroke();
  }

  /** Partitions as shaded bands: each group that cannot hear the largest one, and what is wrong in words above. */
  drawNetwork() {
    const { paper, model } = this;
    const from = Math.max(0, model.network.findLastIndex((state) => state.time_ns <= this.from));
    for (let place = from; place < model.network.length; place++) {
      const state = model.network[place];
      const ends = Math.min(model.network[place + 1]?.time_ns ?? this.now, this.now);
      if (state.time_ns > this.to) break;
      if (!state.cut.length && !state.loss && !state.delay_ns) continue;
      const [left, right] = [Math.max(this.x(state.time_ns), this.gutter - 2), Math.min(this.x(ends), this.width + 2)];
      if (right <= left) continue;
      const groups = model.groups(state);
      const words = [];
      if (groups.length > 1) words.push(groups.map((group) => group.join(' ')).join(' | '));
      else if (state.cut.length) words.push(`cut: ${state.cut.map(([one, other]) => `${one}→${other}`).join(' ')}`);
      if (state.loss) words.push(`${state.loss} % lost`);
      if (state.delay_ns) words.push(`${span(state.delay_ns)} slower`);
      // Where nobody hears anybody, all are away.
      const away = groups.length > 1 ? groups.slice(groups[0].length > 1 ? 1 : 0).flat() : [];
      for (const server of model.servers.filter(({ name }) => away.includes(name))) this.shade(left, right, server.y);
      paper.fillStyle = this.color.band;
      paper.fillRect(left, 20, right - left, 2);
      paper.font = SMALL;
      const text = words.join(' · ');
      const at = Math.max(left + 3, this.gutter + 4);
      if (right - at > paper.measureText(text).width) paper.fillText(text, at, 33);
      else if (right - at > 40) paper.fillText(groups.length > 1 ? "parted" : state.cut.length ? "cut" : state.loss ? "lossy" : "slow", at, 33);
    }
  }

  shade(left, right, y) {
    const { paper } = this;
    const [top, high] = [y - this.gap / 2 + 1, this.gap - 2];
    paper.fillStyle = this.color.bandFill;
    paper.fillRect(left, top, right - left, high);
    paper.save();
    paper.beginPath();
    paper.rect(left, top, right - left, high);
    paper.clip();
    paper.strokeStyle = this.color.bandFill;
    paper.lineWidth = 2;
    paper.beginPath();
    // The pattern belongs to the paper, so that it does not swim while time passes.
    for (let x = Math.floor((left - high) / 9) * 9; x < right; x += 9) {
      paper.moveTo(x, top + high);
      paper.lineTo(x + high, top);
    }
    paper.stroke();
    paper.restore();
  }

  /** The lane itself: solid while the server runs, thick while it leads, dotted while it is down or stands still. */
  drawLane(server) {
    const { paper } = this;
    const cuts = [...server.roles.map(({ time }) => time), ...server.states.map(({ time }) => time)]
      .filter((time) => time > this.from && time < Math.min(this.to, this.now)).sort((one, other) => one - other);
    const ends = Math.min(this.to, this.now);
    let begin = Math.max(this.from, server.states[0]?.time ?? 0, 0);
    for (const until of [...cuts.slice(-2000), ends]) {
      if (until <= begin) continue;
      const { role } = this.model.roleAt(server, begin);
      const state = this.model.stateAt(server, begin);
      paper.setLineDash(state === 'up' ? [] : state === 'down' ? [2, 6] : [8, 4]);
      paper.lineWidth = state !== 'up' ? 1.5 : role === 'leader' ? 4 : role === 'follower' ? 1.5 : 2.5;
      paper.strokeStyle = state === 'down' ? this.color.down : state === 'up' ? this.roleColor(role) : this.color.lane;
      paper.globalAlpha = role === 'leader' && state === 'up' ? 0.85 : 1;
      paper.beginPath();
      paper.moveTo(this.x(begin), server.y);
      paper.lineTo(this.x(until), server.y);
      paper.stroke();
      begin = until;
    }
    paper.globalAlpha = 1;
    paper.setLineDash([]);
  }

  roleColor(role) {
    return role === 'leader' ? this.color.leader : role === 'follower' ? this.color.lane : this.color.candidate;
  }

  /** Where an arrow is: `[x0, y0, x1, y1, fate]`; `null` if it is not in sight. */
  line(message) {
    const { model } = this;
    const sent = model.sent.data[message];
    if (Number.isNaN(sent) || sent > this.to || sent > this.now) return null;
    const from = model.numbered[model.from.data[message]];
    const to = model.numbered[model.to.data[message]];
    const { fate } = model.fate(message, this.now, this.options.grace);
    const x0 = this.x(sent);
    if (fate === 'arrived') {
      const x1 = this.x(model.received.data[message]);
      return x1 < this.gutter ? null : [x0, from.y, x1, to.y, fate];
    }
    // A message that never arrives is drawn over more than half of its way.
    const takes = Math.max(model.flight, (this.now - sent) * (fate === 'travelling' ? 1 : 0));
    const part = fate !== 'travelling' ? 0.62 : Math.min(0.9, (this.now - sent) / Math.max(takes, 1));
    const x1 = this.x(sent + model.flight * part);
    return x1 < this.gutter ? null : [x0, from.y, x1, from.y + (to.y - from.y) * part, fate];
  }

  /** The arrows in sight; of those on one pixel one for each link and kind, or, if `few`, one for each family. */
  arrows(few) {
    const { model } = this;
    const seen = new Set();
    const arrows = [];
    this.beats = [];
    model.walkMessages(this.from, Math.min(this.to, this.now), (message) => {
      const kind = model.kind.data[message];
      const column = Math.round(this.x(model.sent.data[message]));
      if (model.folded.data[message] && this.hidden.has(HEARTBEATS)) {
        if (column >= this.gutter && model.sent.data[message] <= this.now && [0, HEARTBEATS].includes(FAMILY[kind])) this.beats[column] = model.from.data[message];
        return true;
      }
      const link = few ? FAMILY[kind] : (model.from.data[message] * 16 + model.to.data[message]) * 16 + kind;
      const key = (few ? column >> 1 : column) * 4096 + link;
      if ((seen.has(key) && message !== this.selected) || !this.isShown(message)) return true;
      const line = this.line(message);
      if (!line) return true;
      seen.add(key);
      arrows.push([message, line]);
      return arrows.length < MAX_ARROWS;
    });
    return arrows;
  }

  drawArrows() {
    let arrows = this.arrows(false);
    if (arrows.length >= MAX_ARROWS) arrows = this.arrows(true);
    this.crowd = arrows.length > 1500 ? 0.3 : arrows.length > 400 ? 0.55 : 0.9;
    this.drawBeats();
    for (let family = 0; family < FAMILIES.length; family++) this.drawFamily(family, arrows);
    this.lines = arrows.length > 400 ? [] : arrows.map(([, line]) => line);
    if (arrows.length <= 90) this.labelArrows(arrows);
    const chosen = arrows.find(([message]) => message === this.selected);
    if (chosen) this.drawChosen(chosen);
    return arrows.length;
  }

  /** What is folded away leaves a small trace on the sender's lane. */
  drawBeats() {
    const { paper, model } = this;
    paper.fillStyle = this.color.heartbeat;
    this.beats.forEach((from, column) => {
      const { y } = model.numbered[from];
      paper.fillRect(column, y - 6, 1, 12);
    });
  }

  drawFamily(family, arrows) {
    const { paper, model } = this;
    const mine = arrows.filter(([message]) => FAMILY[model.kind.data[message]] === family);
    if (!mine.length) return;
    const name = FAMILIES[family][0];
    const color = this.color[name];
    const [heads, bars, tails, crosses] = [new Path2D(), new Path2D(), new Path2D(), new Path2D()];
    const few = this.crowd > 0.5;
    for (const fate of ['arrived', 'travelling', 'unrecorded', 'lost']) {
      const path = new Path2D();
      for (const [message, [x0, y0, x1, y1, became]] of mine) {
        if (became !== fate) continue;
        path.moveTo(x0, y0);
        path.lineTo(x1, y1);
        const no = name === 'refused' || (KINDS[model.kind.data[message]].endsWith('vote_reply') && !model.amount.data[message]);
        if (fate === 'lost') addCross(crosses, x1, y1, this.crowd < 0.9 ? 2 : 4);
        else if (fate === 'arrived' && no) addBar(bars, x0, y0, x1, y1, few ? 5 : 3);
        else if (fate === 'arrived') addHead(heads, x0, y0, x1, y1, few ? 7 : 4);
        if (name === 'election' && few) {
          tails.moveTo(x0, y0);
          tails.arc(x0, y0, 2.5, 0, 7);
        } else if (name === 'snapshot') tails.rect(x0 - 3, y0 - 3, 6, 6);
      }
      paper.setLineDash(fate === 'arrived' ? [] : fate === 'lost' ? [5, 4] : [1, 3]);
      paper.lineWidth = few ? 1.4 : 0.8;
      paper.strokeStyle = color;
      paper.globalAlpha = this.crowd;
      paper.stroke(path);
    }
    paper.setLineDash([]);
    paper.fillStyle = color;
    paper.fill(tails);
    if (name === 'read') {
      paper.fillStyle = this.color.paper;
      paper.stroke(heads);
    }
    paper.fill(heads);
    paper.lineWidth = few ? 2 : 1;
    paper.stroke(bars);
    paper.strokeStyle = this.color.ink;
    paper.stroke(crosses);
    paper.globalAlpha = 1;
  }

  /** Each beside its arrow, and on no other one; where there is no such place, without. */
  labelArrows(arrows) {
    const { paper, model } = this;
    paper.font = SMALL;
    for (const [message, [x0, y0, x1, y1]] of arrows) {
      if (Math.abs(x1 - x0) < 14) continue;
      const data = (column) => model[column].data[message];
      const text = shortMessage(data('kind'), data('term'), data('index'), data('amount'));
      const color = this.color[FAMILIES[FAMILY[data('kind')]][0]];
      const wide = paper.measureText(text).width;
      const [above, below] = y1 > y0 ? [-5, 12] : [12, -5];
      [0.5, 0.3, 0.7].some((part) => {
        const [x, y] = [x0 + (x1 - x0) * part, y0 + (y1 - y0) * part];
        return [[x + 4, y + above], [x - 4 - wide, y + below]].some(([left, base]) => this.isClear(text, left, base) && this.label(text, left, base, color));
      });
    }
  }

  /** Whether no arrow passes where this text would stand. */
  isClear(text, x, y) {
    const box = [[x - 1, x + this.paper.measureText(text).width + 1], [y - 9, y + 2]];
    return !this.lines.some(([x0, y0, x1, y1]) => {
      let [begin, end] = [0, 1];
      for (const [place, [from, to]] of [[x0, x1], [y0, y1]].entries()) {
        const [low, high] = box[place].map((edge) => (from === to ? Math.sign(edge - from) * Infinity : (edge - from) / (to - from)));
        begin = Math.max(begin, Math.min(low, high));
        end = Math.min(end, Math.max(low, high));
      }
      return begin <= end;
    });
  }

  /** Writes where nothing is written yet. */
  label(text, x, y, color) {
    const { paper } = this;
    const box = [x - 2, y - 10, x + paper.measureText(text).width + 2, y + 3];
    if (this.labels.some((other) => box[0] < other[2] && other[0] < box[2] && box[1] < other[3] && other[1] < box[3])) return false;
    this.labels.push(box);
    paper.lineWidth = 3;
    paper.lineJoin = 'round';
    paper.strokeStyle = this.color.paper;
    paper.strokeText(text, x, y);
    paper.fillStyle = color;
    paper.fillText(text, x, y);
    return true;
  }

  drawChosen([message, [x0, y0, x1, y1]]) {
    const { paper } = this;
    const head = new Path2D();
    addHead(head, x0, y0, x1, y1, 11);
    paper.strokeStyle = paper.fillStyle = this.color.select;
    paper.lineWidth = 3;
    paper.beginPath();
    paper.moveTo(x0, y0);
    paper.lineTo(x1, y1);
    paper.stroke();
    paper.fill(head);
    paper.beginPath();
    paper.arc(x0, y0, 4.5, 0, 7);
    paper.fill();
    const data = (column) => this.model[column].data[message];
    paper.font = FONT;
    const text = shortMessage(data('kind'), data('term'), data('index'), data('amount'));
    const wide = paper.measureText(text).width;
    const right = Math.min(Math.max(x0, x1) + 8, this.width - wide - 6);
    const y = (y0 + y1) / 2 - 6;
    const at = [right, Math.min(x0, x1) - 8 - wide].find((x) => x > this.gutter && this.isClear(text, x, y)) ?? right;
    this.label(text, at, y, this.color.select);
  }

  /** Small marks on the lanes: commits, entries that are removed, starts and ends. */
  drawEvents(arrows) {
    const { paper, model } = this;
    const taken = new Set();
    const small = arrows < 400;
    paper.font = SMALL;
    model.walkEvents(this.from, Math.min(this.to, this.now), (event) => {
      const draw = MARKS[event.event];
      const server = draw && model.byName.get(event.node);
      if (!server || (draw.small && !small) || (draw.leader && model.roleAt(server, event.time_ns).role !== 'leader')) return;
      const x = this.x(event.time_ns);
      const key = `${Math.round(x / 3)} ${event.node} ${event.event}`;
      if (taken.has(key)) return;
      taken.add(key);
      draw.paint(paper, x, server.y, this.color, event, this);
      this.marks.push({ x, y: server.y + (draw.at ?? 0), event });
    });
  }

  /** Who becomes what: a symbol, and a word where there is room; who stays what it was in a new term: a line, and the term. */
  drawRoles(server) {
    const { paper } = this;
    let free = -Infinity;
    let visible = server.roles.filter(({ time, why }) => why && time >= this.from && time <= Math.min(this.to, this.now));
    if (visible.length > this.plot / 24) {
      let last = -Infinity;
      visible = visible.filter(({ role, time }) => role === 'leader' && this.x(time) - last > 16 && (last = this.x(time)));
    }
    paper.font = SMALL;
    let said = '';
    for (const [place, { time, role, term, why, run }] of visible.entries()) {
      const x = this.x(time);
      // Where several follow within a few pixels, the last one counts.
      const next = visible[place + 1];
      if (next && this.x(next.time) - x < 7) continue;
      const stays = why === 'term';
      if (stays) {
        paper.fillStyle = this.color.follower;
        paper.fillRect(x - 1, server.y - 5, 2, 10);
      } else drawRole(paper, role, x, server.y, 7, this.color);
      const times = run?.times.filter((other) => other <= this.now).length;
      const text = `${stays ? '' : `${roleWord(role)} `}t${term}` + (times ? `, asks ${times} times more` : '');
      if ((next && this.x(next.time) - x < 26) || x < this.gutter || text === said) continue;
      said = text;
      const y = server.y + ([-10, 18].find((away) => this.isClear(text, x + 9, server.y + away)) ?? -10);
      if (x > free && x + 9 + paper.measureText(text).width < this.width && this.label(text, x + 9, y, role === 'leader' ? this.color.leader : role === 'follower' ? this.color.muted : this.color.candidate)) {
        free = x + 9 + paper.measureText(text).width;
      }
    }
  }

  drawNow() {
    const x = Math.round(this.x(this.now)) + 0.5;
    const { paper } = this;
    paper.strokeStyle = this.color.muted;
    paper.lineWidth = 1;
    paper.setLineDash([3, 3]);
    paper.beginPath();
    paper.moveTo(x, 18);
    paper.lineTo(x, this.height);
    paper.stroke();
    paper.setLineDash([]);
  }

  /** Names, and how each server is at the right edge of what is shown. */
  drawNames() {
    const { paper, model } = this;
    const time = Math.min(this.to, this.now);
    paper.strokeStyle = this.color.faint;
    paper.lineWidth = 1;
    paper.beginPath();
    paper.moveTo(this.gutter - 0.5, 0);
    paper.lineTo(this.gutter - 0.5, this.height);
    paper.stroke();
    for (const server of model.servers) {
      const { role, term, unknown } = model.roleAt(server, time);
      const state = model.stateAt(server, time);
      drawRole(paper, state !== 'up' ? state : unknown ? 'silent' : role, 14, server.y, 7, this.color);
      paper.fillStyle = this.color.ink;
      paper.font = `600 ${FONT}`;
      paper.fillText(server.name, 26, server.y + (this.plot > 500 ? -1 : 4));
      if (this.gutter < 100) continue;
      paper.fillStyle = this.color.muted;
      paper.font = SMALL;
      paper.fillText(state !== 'up' ? stateWord(state) : unknown ? '' : `${roleWord(role)} t${term}`, 26, server.y + 13);
    }
  }
}

/** How events are drawn on a lane. */
const MARKS = {
  committed: { small: true, at: 8, paint: (paper, x, y, color) => {
    paper.fillStyle = color.commit;
    paper.fillRect(x - 1.5, y + 4, 3, 8);
  } },
  truncated: { paint: (paper, x, y, color) => {
    paper.fillStyle = color.refused;
    paper.fillRect(x - 6, y + 6, 12, 4);
  } },
  membership_changed: { small: true, leader: true, at: 14, paint: (paper, x, y, color, event, diagram) => diagram.label("members", x + 6, y + 22, color.muted) },
  deed: { paint: (paper, x, y, color, event) => drawRole(paper, { crash: 'down', pause: 'paused', silent: 'silent', refused: 'silent' }[event.what] ?? 'follower', x, y, 8, color) },
};
MARKS.snapshot_installed = MARKS.snapshot_taken = { paint: (paper, x, y, color) => square(paper, x, y, color.snapshot) };
MARKS.proposal_refused = MARKS.read_refused = { small: true, paint: (paper, x, y, color) => square(paper, x, y + 8, color.refused) };

function square(paper, x, y, color) {
  paper.fillStyle = color;
  paper.fillRect(x - 4, y - 4, 8, 8);
}

/** A role by its shape: star, diamond (hollow: only asking), ring; a cross for down, two bars for standing still. */
function drawRole(paper, role, x, y, size, color) {
  paper.beginPath();
  paper.lineWidth = 2;
  if (role === 'leader') {
    for (let corner = 0; corner < 10; corner++) {
      const angle = (corner * Math.PI) / 5 - Math.PI / 2;
      const far = corner % 2 ? size * 0.48 : size * 1.15;
      paper.lineTo(x + far * Math.cos(angle), y + far * Math.sin(angle));
    }
    paper.closePath();
    paper.fillStyle = color.leader;
    paper.strokeStyle = color.paper;
    paper.lineWidth = 1;
  } else if (role === 'candidate' || role === 'pre_candidate') {
    paper.moveTo(x, y - size);
    paper.lineTo(x + size * 0.8, y);
    paper.lineTo(x, y + size);
    paper.lineTo(x - size * 0.8, y);
    paper.closePath();
    paper.fillStyle = role === 'candidate' ? color.candidate : color.paper;
    paper.strokeStyle = color.candidate;
  } else if (role === 'down') {
    addCross(paper, x, y, size * 0.7);
    paper.fillStyle = 'transparent';
    paper.strokeStyle = color.down;
    paper.lineWidth = 3;
  } else if (role === 'paused') {
    paper.rect(x - 4, y - 6, 2.5, 12);
    paper.rect(x + 1.5, y - 6, 2.5, 12);
    paper.fillStyle = paper.strokeStyle = color.ink;
    paper.lineWidth = 0.5;
  } else {
    if (role === 'silent') paper.setLineDash([2, 2]);
    paper.arc(x, y, size * 0.62, 0, 7);
    paper.fillStyle = color.paper;
    paper.strokeStyle = color.follower;
  }
  paper.fill();
  paper.stroke();
  paper.setLineDash([]);
}

function addHead(path, x0, y0, x1, y1, size = 7) {
  const angle = Math.atan2(y1 - y0, x1 - x0);
  path.moveTo(x1, y1);
  path.lineTo(x1 - size * Math.cos(angle - 0.4), y1 - size * Math.sin(angle - 0.4));
  path.lineTo(x1 - size * Math.cos(angle + 0.4), y1 - size * Math.sin(angle + 0.4));
  path.closePath();
}

/** A bar just before the end: so far, and no further. On the end itself the lane would hide it. */
function addBar(path, x0, y0, x1, y1, size) {
  const far = size / (Math.hypot(x1 - x0, y1 - y0) || 1);
  const [dx, dy] = [(x1 - x0) * far, (y1 - y0) * far];
  path.moveTo(x1 - dx - dy, y1 - dy + dx);
  path.lineTo(x1 - dx + dy, y1 - dy - dx);
}

function addCross(path, x, y, size = 4) {
  path.moveTo(x - size, y - size);
  path.lineTo(x + size, y + size);
  path.moveTo(x + size, y - size);
  path.lineTo(x - size, y + size);
}

/** From a point to a line. */
function distanceTo([x0, y0, x1, y1], x, y) {
  const [dx, dy] = [x1 - x0, y1 - y0];
  const part = Math.max(0, Math.min(1, ((x - x0) * dx + (y - y0) * dy) / (dx * dx + dy * dy || 1)));
  return Math.hypot(x - x0 - part * dx, y - y0 - part * dy);
}
