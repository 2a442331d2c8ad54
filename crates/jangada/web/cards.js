// The servers as cards with their actions, and their logs as a grid. What has not changed is not touched, so that a
// button stays the same button while somebody presses it.

import { roleWord, stateWord } from './words.js';

/** What stands in the place of a log that is not to be seen. */
const ABSENT = { down: 'down: its log is on its disk', silent: 'does not answer' };
const SVG = 'http://www.w3.org/2000/svg';
const LAG = "lag";

/** An element with a class, a text, and what is in it. */
export function make(name, className = '', text = '', ...children) {
  const element = document.createElement(name);
  if (className) element.className = className;
  if (text) element.textContent = text;
  element.append(...children);
  return element;
}

/** One of the page's symbols. */
export function icon(name) {
  const svg = document.createElementNS(SVG, 'svg');
  const use = document.createElementNS(SVG, 'use');
  svg.setAttribute('class', 'icon');
  use.setAttribute('href', `#${name}`);
  svg.append(use);
  return svg;
}

/** Writes only what is new. */
export function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** What a server is, in one word: its role, or `down`, `paused`, `silent`. */
export function shape(server) {
  return server.state === 'up' ? server.role ?? 'follower' : server.state;
}

/** Whoever leads in the highest term. */
export function leaderOf(state) {
  const leaders = state.servers.filter((server) => server.role === 'leader' && server.state === 'up');
  return leaders.sort((one, other) => other.term - one.term)[0] ?? null;
}

/** Draws the cards of all servers; `act(line)` carries out what a button says, without it there are none. */
export class Cards {
  constructor(element, act) {
    this.element = element;
    this.act = act;
    this.cards = new Map();
  }

  show(state) {
    const leader = leaderOf(state);
    for (const [name, card] of this.cards) {
      if (!state.servers.some((server) => server.name === name)) {
        card.element.remove();
        this.cards.delete(name);
      }
    }
    for (const server of state.servers) {
      if (!this.cards.has(server.name)) this.cards.set(server.name, this.build(server.name));
      this.update(this.cards.get(server.name), server, state, leader);
    }
  }

  build(name) {
    const part = Object.fromEntries(['role', 'term', 'facts', 'note'].map((key) => [key, make('span', key)]));
    const head = make('div', 'head', '', icon('follower'), make('b', '', name), part.role, part.term);
    const element = make('article', 'card', '', head, part.facts, part.note);
    element.setAttribute('aria-label', name);
    const card = { element, head, ...part, buttons: {} };
    if (this.act) {
      const acts = make('div', 'acts');
      for (const key of ['power', 'pause', 'link', 'lead', 'why']) {
        const button = make('button');
        button.type = 'button';
        button.addEventListener('click', () => this.act(button.dataset.line));
        (key === 'why' ? head : acts).append(button);
        card.buttons[key] = button;
      }
      element.append(acts);
    }
    this.element.append(element);
    return card;
  }

  update(card, server, state, leader) {
    const is = shape(server);
    if (card.is !== is) {
      card.is = is;
      card.element.className = `card ${is}`;
      card.head.querySelector('use').setAttribute('href', `#${is}`);
    }
    write(card.role, server.state === 'up' ? roleWord(is) : stateWord(is));
    write(card.term, server.term ? `t${server.term}` : '');
    const away = [...new Set((state.cut ?? []).filter((link) => link.includes(server.name)).flat())].filter((name) => name !== server.name);
    this.facts(card.facts, server, leader);
    const port = server.address?.replace(/^127\.0\.0\.1/, '');
    const follows = is === 'follower' && (server.leader ? `follows ${server.leader}` : 'knows no leader');
    write(card.note, server.why ? server.why : away.length ? `cut off from ${away.join(' ')}` : [follows, port].filter(Boolean).join(' · '));
    card.note.classList.toggle('warn', away.length > 0);
    card.note.title = server.address ? `Clients connect to ${server.address}` : '';
    if (this.act) this.buttons(card.buttons, server, is, leader, away, state);
  }

  facts(element, server, leader) {
    const facts = [];
    if (server.last_index !== undefined) facts.push(["log", server.last_index], ["commit", server.commit_index]);
    const match = leader && leader !== server ? leader.match_index?.[server.name] ?? server.match : undefined;
    // The leader of a term knows nothing of whoever has not answered it in that term: zero is no count.
    const unheard = match === 0 && server.last_index > 0;
    const lag = unheard ? '?' : match === undefined ? 0 : Math.max(0, leader.last_index - match);
    if (match !== undefined) facts.push([LAG, lag]);
    const text = facts.flat().join(' ');
    if (element.dataset.text === text) return;
    element.dataset.text = text;
    element.title = match === undefined ? '' : unheard ? 'The leader has not heard from it in its term' : `The leader knows that it has everything up to ${match} (match index)`;
    element.replaceChildren(...facts.map(([name, value]) => make('span', name === LAG && lag ? 'warn' : '', `${name} `, make('b', '', String(value)))));
  }

  buttons(buttons, server, is, leader, away, state) {
    const id = server.name.replace(/^n/, '');
    const set = (key, text, line, title, off = false) => {
      const button = buttons[key];
      write(button, text);
      button.dataset.line = line;
      button.title = `${title} (${line})`;
      button.disabled = off;
    };
    if (is === 'down') set('power', "restart", `restart ${id}`, 'It starts on the disk that it left');
    else set('power', "crash", `crash ${id}`, 'Power off');
    if (is === 'paused') set('pause', "resume", `resume ${id}`, 'It goes on');
    else set('pause', "pause", `pause ${id}`, 'It stands still, its connections stay', is === 'down');
    if (away.length) set('link', "reconnect", `reconnect ${id}`, 'All its links work again');
    else set('link', "isolate", `isolate ${id}`, 'Nothing that it sends or is sent arrives');
    const heirs = state.servers.filter((other) => other !== server && other.state === 'up' && server.match_index?.[other.name] !== undefined);
    heirs.sort((one, other) => server.match_index[other.name] - server.match_index[one.name]);
    if (server.role === 'leader' && heirs.length) set('lead', 'step down', `transfer ${heirs[0].name.slice(1)}`, `Leadership goes to ${heirs[0].name}`, is !== 'leader');
    else set('lead', "timeout", `timeout ${id}`, 'Its election timeout is over now', is === 'down' || is === 'paused' || is === 'leader');
    set('why', "why", `why ${id}`, 'Why is it as it is?', is === 'down');
  }
}

/** The grid: a row for each server, a column for each entry. */
export class Grid {
  constructor(element) {
    this.element = element;
    this.drawn = '';
  }

  show(state) {
    const servers = state.servers.filter((server) => server.terms || ABSENT[server.state]);
    const last = Math.max(0, ...servers.map((server) => server.last_index ?? 0));
    const first = Math.max(1, last - 23, Math.min(...servers.map((server) => server.shown_from ?? Infinity)));
    const key = JSON.stringify([first, state.entries, servers.map((server) => [server.name, server.state, server.terms, server.durable_index, server.commit_index, server.snapshot_index])]);
    if (key === this.drawn) return;
    this.drawn = key;
    if (!last) return this.element.replaceChildren(make('p', 'empty', 'All logs are empty: a leader writes the first entry.'));
    const texts = new Map();
    // Where logs differ, the newest term stands above the column.
    for (const [index, , text] of state.entries ?? []) texts.set(index, text);
    const places = Array.from({ length: last - first + 1 }, (_, place) => first + place);
    const head = make('tr', '', '', make('th'), ...places.map((index) => {
      const text = texts.get(index) ?? '';
      const cell = make('th', '', `${index} `, make('br'), short(text));
      cell.title = `${index}: ${text}`;
      return cell;
    }));
    const row = (server) => {
      if (!ABSENT[server.state]) return places.map((index) => this.cell(server, index, texts));
      const cell = make('td', 'empty', '', make('span', '', ABSENT[server.state]));
      cell.colSpan = places.length;
      return [cell];
    };
    const rows = servers.map((server) => make('tr', '', '', make('th', '', server.name), ...row(server)));
    const table = make('table', '', '', make('thead', '', '', head), make('tbody', '', '', ...rows));
    const atEnd = this.element.scrollLeft + this.element.clientWidth >= this.element.scrollWidth - 90;
    this.element.replaceChildren(table);
    if (atEnd) this.element.scrollLeft = this.element.scrollWidth;
    return undefined;
  }

  cell(server, index, texts) {
    const term = server.terms?.[index - server.shown_from];
    if (term === undefined) {
      const cell = make('td', 'cell away', index <= server.snapshot_index ? '▪' : '');
      if (index <= server.snapshot_index) cell.title = 'in a snapshot';
      return cell;
    }
    const committed = index <= server.commit_index;
    const durable = index <= server.durable_index;
    const cell = make('td', `cell ${committed ? 'committed' : durable ? '' : 'weak'}`, String(term));
    cell.style.setProperty('--term', String(term));
    cell.title = `${server.name}, entry ${index}, term ${term}: ${texts.get(index) ?? ''}\n${committed ? "committed" : durable ? 'on its disk' : 'not on its disk yet'}`;
    return cell;
  }
}

/** An entry in a few letters. */
function short(text) {
  if (text.startsWith('no-op')) return 'no-op';
  if (text.startsWith("members")) return "members";
  return text.replaceAll('"', '').replace(/^set (\S+) (.*)$/i, '$1=$2');
}
