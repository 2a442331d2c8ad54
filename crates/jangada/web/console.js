// A server's console: shows what the members of its cluster do, as each of them tells it, and changes nothing.
//
// Each member is asked by itself, through the server that this page comes from (`/console/of/NAME`): one that does not
// answer keeps nobody waiting. What is asked for is what is new since the last time.

import { Cards, Grid, icon, leaderOf, write } from './cards.js';
import { Clocks } from './clocks.js';
import { Picture } from './picture.js';

const $ = (id) => document.getElementById(id);
/** Milliseconds from an answer to the next question. */
const AGAIN = 400;
/** How far behind the present the picture is, so that everybody has told what happened. */
const BEHIND = 1e9;
/** How long the first picture waits for those that do not answer. */
const PATIENCE = 1500;

const members = new Map();
const cards = new Cards($('cards'), null);
const grid = new Grid($('grid'));
const picture = new Picture({ keep: 100_000 });
const { diagram } = picture;
let own = null;
let clocks = null;
/** What must be added to the browser's clock to have that of our own server. */
let offset = NaN;
let begun = Infinity;

/** Asks a member what is new, for as long as it is one. */
async function watch(member) {
  if (members.get(member.name) !== member) return;
  if (!document.hidden) {
    const asked = performance.now();
    try {
      const answer = await fetch(`of/${member.name}?start=${member.start}&after=${member.after}`, { signal: AbortSignal.timeout(3000) });
      const text = (await answer.text()).trimEnd();
      hear(member, text.split('\n').map((line) => JSON.parse(line)), asked, performance.now());
    } catch (why) {
      const silent = { event: 'deed', node: member.name, what: 'silent' };
      if (member.why === null) member.news.push({ ...silent, time_ns: member.now });
      // Whoever was never heard has no clock yet.
      else if (!member.asked) diagram.push([{ ...silent, time_ns: 0 }]);
      member.why = member === own ? 'does not answer' : why.message;
    }
    member.asked = true;
    tell();
  }
  setTimeout(watch, AGAIN, member);
}

/** A member has answered. */
function hear(member, [{ silent, start, now_ns: now, status }, ...records], asked, answered) {
  const { name } = member;
  if (silent) throw new Error(silent);
  if (status.name !== name) throw new Error(`${status.name} answers there`);
  // All times count from the start of our own server: if that was not long ago, everything begins anew.
  if (member === own && ![start, ''].includes(member.start)) location.reload();
  if (start !== member.start) {
    clocks.forget(name);
    // Before its first record it did not run; of one that has run for long we have only the end.
    Object.assign(member, { start, after: 0, now: records[0]?.seq === 1 ? records[0].time_ns : 0 });
  }
  const middle = ((asked + answered) / 2) * 1e6;
  if (member === own) offset = now - middle;
  else if (offset) clocks.guess(name, middle + offset - now, (answered - asked) * 1e6);
  const first = records[0] ?? { seq: member.after + 1 };
  if (first.seq !== member.after + 1) member.news.push({ event: 'missing', node: name, time_ns: member.now, until_ns: first.time_ns });
  if (member.why !== null) {
    const { role, term } = status;
    if (!member.status) member.news.push({ event: 'server', node: name, role, term, state: 'up', time_ns: first.time_ns ?? now });
    else member.news.push({ event: 'deed', node: name, what: 'heard', time_ns: Math.max(member.now, first.time_ns ?? now) });
  }
  member.news.push(...records);
  clocks.see(records);
  Object.assign(member, { status, why: null, now, after: records.at(-1)?.seq ?? member.after });
  if (member === own) follow(status.membership.members);
}

/** The members are those that our own server knows. */
function follow(known) {
  for (const { name, client_addr: address } of known) {
    const member = members.get(name);
    if (member) member.address = address;
    else join(name, address);
  }
  for (const name of members.keys()) if (name !== own.name && !known.some((member) => member.name === name)) members.delete(name);
}

function join(name, address) {
  const member = { name, address, start: '', after: 0, now: 0, status: null, why: '', news: [], asked: false };
  members.set(name, member);
  own ??= member;
  watch(member);
}

/** Shows what is new. The first picture waits for all, so that their clocks can be set by the messages between them. */
function tell() {
  show([...members.values()].map(portrait));
  if (own.start === '' || ([...members.values()].some(({ asked }) => !asked) && performance.now() < begun + PATIENCE)) return;
  clocks.set([...members.keys()]);
  for (const { name, news } of members.values()) {
    if (Number.isNaN(clocks.at(name, 0))) continue;
    for (const record of news) {
      record.time_ns = Math.max(0, clocks.at(name, record.time_ns));
      if (record.until_ns) record.until_ns = clocks.at(name, record.until_ns);
    }
    if (news.length) diagram.push(news.splice(0));
  }
}

/** A member as cards and grid show it. */
function portrait({ name, address, status, why }) {
  if (why !== null || !status) return { name, address, state: 'silent', term: status?.term, why };
  const { role, term, leader, last_index, commit_index, snapshot_index, log, membership } = status;
  const known = membership.members.filter((other) => other.name !== name && other.match_index !== null);
  return {
    name, address, state: 'up', role, term, leader, last_index, commit_index, snapshot_index, durable_index: log.durable_index,
    shown_from: log.first_index, terms: log.terms, match_index: Object.fromEntries(known.map((other) => [other.name, other.match_index])),
  };
}

function show(servers) {
  servers.sort((one, other) => one.name.localeCompare(other.name, 'en', { numeric: true }));
  const state = { servers, entries: [] };
  const leader = leaderOf(state);
  const words = !own.asked ? 'Connecting …' : leader ? `${leader.name} leads term ${leader.term}` : 'nobody leads';
  $('state').className = leader ? 'leader' : 'none';
  $('state').firstElementChild.replaceWith(icon(leader ? 'leader' : 'down'));
  write($('state').lastElementChild, own.why ? `${own.name} does not answer` : words);
  write($('because'), own.status?.problem ?? '');
  const silent = servers.filter((server) => server.state === 'silent').map(({ name }) => name);
  write($('links'), silent.length ? `no answer from ${silent.join(' ')}` : '');
  document.title = `${words} · ${own.name}`;
  cards.show(state);
  grid.show(state);
}

async function begin() {
  try {
    const { name, membership } = await (await fetch('../status')).json();
    clocks = new Clocks(name);
    begun = performance.now();
    join(name, membership.members.find((member) => member.name === name)?.client_addr ?? location.host);
    diagram.follow(3e9);
    picture.run((time) => (Number.isNaN(offset) ? null : offset + time * 1e6 - BEHIND));
  } catch {
    $('state').className = 'none';
    write($('state').lastElementChild, 'This server does not answer');
    setTimeout(begin, 1000);
  }
}

begin();
