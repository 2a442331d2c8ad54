// The laboratory's page: takes what happens from the server, shows it, and sends what is typed or pressed.

import { Cards, Grid, icon, leaderOf, make, write } from './cards.js';
import { Picture } from './picture.js';
import { since } from './words.js';

const $ = (id) => document.getElementById(id);
const TOKEN = new URLSearchParams(location.search).get('token') ?? '';
/** How far behind the present real servers are drawn, so that both ends of an arrow are there. */
const BEHIND = 120e6;
/** Lines that the prompt keeps. */
const MAX_SAID = 500;
const TRY = ['set d 8', 'get d', 'crash leader', 'restart all', 'isolate 1 2', 'heal', 'lose 20%', 'slow 100ms', 'why leader', 'status',
  'scenario returning-follower', 'add 6', 'help'];

let state = null;
let nowNs = 0;
/** Real servers: what must be added to the browser's clock. */
let offset = -Infinity;
let playing = false;
let awaited = null;
let said = Promise.resolve();
/** When the line that is carried out was sent, and when there was news last. */
let asked = null;
let heard = 0;

const cards = new Cards($('cards'), say);
const grid = new Grid($('grid'));
const picture = new Picture({ keep: 400_000, stopOrGo, saved: `picture.svg?token=${TOKEN}` });
const { diagram } = picture;

// ---- To the laboratory ------------------------------------------------------------------------------------

async function post(path, body) {
  try {
    const answer = await fetch(`${path}?token=${TOKEN}`, {
      method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(body),
    });
    if (answer.ok) return await answer.json();
    tell(await answer.text(), 'warn');
  } catch {
    tell('The laboratory does not answer: is it still running in its terminal?', 'warn');
  }
  return { outcome: 'refused', words: [] };
}

/** Carries out a line, as if it was typed in the terminal; one after the other, as they were typed. */
function say(line) {
  said = said.then(() => {
    asked = performance.now();
    return post('line', { line });
  }).then(({ outcome }) => {
    asked = null;
    return outcome;
  });
  return said;
}

// ---- From the laboratory ----------------------------------------------------------------------------------

function listen() {
  const source = new EventSource(`events?token=${TOKEN}`);
  source.onmessage = ({ data }) => take(JSON.parse(data));
  source.onerror = () => {
    $('state').className = 'none';
    write($('state').lastElementChild, 'No connection to the laboratory');
    state = null;
    late(false);
  };
}

function take(news) {
  if (news.restarts) {
    diagram.clear();
    $('said').replaceChildren();
  }
  if (news.records.length) diagram.push(news.records);
  for (const text of news.said) for (const line of text.split('\n')) tell(line);
  if (news.state) show(news.state);
  nowNs = news.now_ns;
  heard = performance.now();
  offset = Math.max(offset, nowNs - heard * 1e6);
  // Real servers: news that were long on their way, or of which more is waiting, or whoever looks at the servers is late.
  const old = !state?.travel && (offset + heard * 1e6 - nowNs > 1e9 || nowNs - news.seen_ns > 2e9);
  late(old || news.left > 0);
  if (state?.travel) {
    diagram.setNow(nowNs);
    showTime();
  }
  document.body.dataset.now = String(nowNs);
}

/** What is to be seen is not the present any more, or is. */
function late(is) {
  $('late').hidden = !is || !state;
}

/** Real servers tell what time it is if nothing else; a made-up world tells nothing while it carries something out. */
function watchTheClock() {
  const now = performance.now();
  if (state?.travel ? asked !== null && now - asked > 500 : now - heard > 3000) late(true);
}

function show(next) {
  // A made-up world is looked at more closely: nothing there hurries.
  if (!state?.travel !== !next.travel) diagram.follow(next.travel ? 1e9 : 3e9);
  state = next;
  const leader = leaderOf(state);
  $('state').className = leader ? 'leader' : 'none';
  $('state').firstElementChild.replaceWith(icon(leader ? 'leader' : 'down'));
  const [words, ...because] = state.words.split(': ');
  write($('state').lastElementChild, words);
  write($('because'), because.join(': '));
  document.title = `${leader ? state.words : 'nobody leads'} · jangada`;
  const troubles = [];
  if (state.cut?.length) troubles.push(`${state.cut.length} links cut`);
  if (state.loss) troubles.push(`${state.loss} % of messages lost`);
  if (state.delay_ms) troubles.push(`messages ${state.delay_ms} ms slower`);
  write($('links'), troubles.join(' · '));
  $('heal').hidden = !state.cut?.length;
  $('time').hidden = !state.travel;
  cards.show(state);
  grid.show(state);
  if (state.travel) showForks();
}

function tell(line, kind = '') {
  const log = $('said');
  const atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 40;
  log.append(make('p', kind || (line.startsWith('lab> ') ? 'typed' : ''), line));
  while (log.childElementCount > MAX_SAID) log.firstElementChild.remove();
  if (atEnd) log.scrollTop = log.scrollHeight;
}

// ---- A made-up world: time stands still until it is told to pass ------------------------------------------

function showTime() {
  const { moves } = state.travel;
  const slider = $('when');
  const end = Math.max(nowNs, Number(slider.dataset.end ?? 0), 1e9);
  slider.dataset.end = String(end);
  slider.max = String(end / 1e6);
  slider.step = 'any';
  if (document.activeElement !== slider || awaited === null) slider.value = String(nowNs / 1e6);
  write($('clock'), since(nowNs));
  // While time passes the address would change too often for the browser.
  if (!playing) history.replaceState(null, '', `#${place()}`);
  const ticks = moves.filter(([line]) => !line.startsWith('run ')).map(([line, begun]) => `${line} ${begun}`).join('|') + end;
  if ($('moves').dataset.drawn === ticks) return;
  $('moves').dataset.drawn = ticks;
  $('moves').replaceChildren(...moves.filter(([line]) => !line.startsWith('run ')).map(([line, begun]) => {
    const mark = make('i');
    mark.style.left = `${(begun / end) * 100}%`;
    mark.title = line;
    return mark;
  }));
}

function showForks() {
  const { forks } = state.travel;
  const text = JSON.stringify(forks);
  if ($('forks').dataset.drawn === text) return;
  $('forks').dataset.drawn = text;
  $('forks').replaceChildren(...forks.map(([name, time]) => {
    const button = make('button', '', `${name} ${since(time)}`);
    button.title = `Back to this moment (goto ${name})`;
    button.addEventListener('click', () => pause().then(() => say(`goto ${name}`)));
    return button;
  }));
}

/** The address of this very moment: seed, time, and all that was typed until then. */
function place() {
  const { begins, moves, seed } = state.travel;
  const lines = [...begins, ...moves.map(([line]) => line)];
  return new URLSearchParams({ seed, t: (nowNs / 1e9).toFixed(9), do: lines.join('\n') }).toString();
}

/** Does again what an address tells, up to its time. */
async function replay(hash) {
  const link = new URLSearchParams(hash.slice(1));
  const lines = (link.get('do') ?? '').split('\n').filter(Boolean);
  if (!lines.length || hash === `#${place()}`) return;
  for (const line of lines) await say(line);
  if (link.get('t')) await say(`goto ${link.get('t')}s`);
}

async function play() {
  if (playing || !state?.travel) return;
  playing = true;
  write($('play'), "stop");
  if (diagram.following === null) diagram.follow();
  let before = performance.now();
  while (playing && state?.travel) {
    await new Promise(requestAnimationFrame);
    const now = performance.now();
    // What the computer does not manage in time is not made up for.
    const ns = Math.round(Math.min(now - before, 100) * 1e6 * Number($('speed').value));
    before = now;
    if (ns > 0 && (await (awaited = post('play', { ns }))).outcome !== 'done') playing = false;
  }
  awaited = null;
  playing = false;
  write($('play'), "play");
  if (state?.travel) showTime();
}

async function pause() {
  playing = false;
  await awaited;
}

let wanted = null;
let travelling = false;

/** To another time. What is typed from there on is another story, so the present is kept as a fork. */
async function travel(ms) {
  wanted = ms;
  if (travelling) return;
  travelling = true;
  await pause();
  const lines = state.travel.moves.length;
  const kept = state.travel.forks.some(([, time]) => time === nowNs);
  if (ms * 1e6 < nowNs && !kept && lines && !$('when').dataset.rewound) await say('fork');
  $('when').dataset.rewound = '1';
  while (wanted !== null) {
    const to = wanted;
    wanted = null;
    await say(`goto ${(to / 1000).toFixed(6)}s`);
  }
  travelling = false;
}

// ---- Hands ------------------------------------------------------------------------------------------------

function stopOrGo() {
  if (state?.travel) {
    if (playing) pause();
    else play();
  } else if (diagram.following === null) diagram.follow();
  else diagram.show(diagram.from, diagram.to);
}

/** Completes the last word as far as it is certain; if nothing is, shows what it may become. */
async function complete(input) {
  const line = input.value;
  const { words } = await post('complete', { line });
  if (!words.length || input.value !== line) return;
  const begin = line.lastIndexOf(' ') + 1;
  let certain = words[0];
  while (!words.every((word) => word.startsWith(certain))) certain = certain.slice(0, -1);
  if (words.length > 1 && certain === line.slice(begin)) tell(words.join('  '));
  input.value = line.slice(0, begin) + certain + (words.length > 1 ? '' : ' ');
}

function prompt() {
  const typed = [];
  let at = 0;
  const input = $('line');
  $('form').addEventListener('submit', async (event) => {
    event.preventDefault();
    const line = input.value.trim();
    if (!line) return;
    typed.push(line);
    at = typed.length;
    input.value = '';
    await pause();
    await say(line);
  });
  input.addEventListener('keydown', (event) => {
    // From an empty line Tab leads on to the next element, as everywhere.
    if (event.key === 'Tab' && !event.shiftKey && input.value.trim()) {
      event.preventDefault();
      complete(input);
      return;
    }
    const by = { ArrowUp: -1, ArrowDown: 1 }[event.key];
    if (!by || (at + by < 0) || at + by > typed.length) return;
    event.preventDefault();
    at += by;
    input.value = typed[at] ?? '';
  });
  $('try').replaceChildren(...TRY.map((line) => {
    const button = make('button', '', line);
    button.type = 'button';
    button.addEventListener('click', () => { $('keys').close(); say(line); });
    return make('li', '', '', button);
  }));
}

function hands() {
  const on = (id, act) => $(id).addEventListener('click', act);
  Object.assign(picture.keys, { '.': () => state?.travel && say('step'), ',': () => state?.travel && say('back'), '/': () => $('line').focus() });
  on('heal', () => say('heal'));
  on('play', stopOrGo);
  on('step', () => pause().then(() => say('step')));
  on('back', () => pause().then(() => say('back')));
  on('fork', () => pause().then(() => say('fork')));
  on('link', async () => {
    const base = location.href.split(/[?#]/)[0];
    await navigator.clipboard?.writeText(`${base}#${place()}`).catch(() => {});
    tell(`${base}#${place()}`);
    tell('(copied: what follows # shows this moment in any laboratory that was opened with --sim)');
  });
  $('when').addEventListener('input', () => travel(Number($('when').value)));
  $('when').addEventListener('change', () => delete $('when').dataset.rewound);
  addEventListener('hashchange', () => state?.travel && replay(location.hash));
}

const link = location.hash;
diagram.follow(3e9);
prompt();
hands();
listen();
setInterval(watchTheClock, 250);
// Real time passes by itself: the picture moves with the browser's clock, and does not jerk with the news.
picture.run((time) => (state && !state.travel ? offset + time * 1e6 - BEHIND : null));
const ready = setInterval(() => {
  if (!state) return;
  clearInterval(ready);
  if (state.travel && link.length > 1) replay(link);
}, 50);
