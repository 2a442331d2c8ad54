// What a diagram shows, made of records (docs/events.md): servers, messages with both their ends, roles over time,
// partitions. Knows nothing of pictures. Records are kept as columns of numbers, so that a million of them fit.
//
// Beside the events of docs/events.md these are understood, which whoever gives the records adds; all have `time_ns`:
//   {"event":"deed","node":"n3","what":"silent"|"heard"}  nothing is known of it from here on, and again
//   {"event":"network","cut":[["n1","n2"],...]}  the links that seem cut from here on (from, to), where no deed is known
//   {"event":"server","node":"n3","role":"follower","term":2,"state":"up"}  how it was when the records begin
//   {"event":"missing","node":"n3","until_ns":9}  what happened there from here to there is not among the records

/** Kinds of messages; a message's `kind` is a place in this list. */
export const KINDS = ['pre_vote', 'pre_vote_reply', 'vote', 'vote_reply', 'append', 'heartbeat', 'append_accepted',
  'append_refused', 'snapshot', 'snapshot_reply', 'timeout_now', 'read_index', 'read_index_reply'];

const KIND_NUMBER = new Map(KINDS.map((kind, number) => [kind, number]));
const HEARTBEAT = KIND_NUMBER.get('heartbeat');
const APPEND = KIND_NUMBER.get('append');
const ACCEPTED = KIND_NUMBER.get('append_accepted');
/** The kinds up to here are questions and answers of an election; the even ones ask. */
const VOTES = KIND_NUMBER.get('vote_reply');
/** What a server is after a deed. */
const STATES = { crash: 'down', start: 'up', pause: 'paused', resume: 'up', silent: 'silent', refused: 'refused', heard: 'up' };
/** What is done to links. */
const LINK_DEEDS = ['cut', 'mend', 'lose', 'slow'];
/** Items between two entries of an index by time. */
const BLOCK = 256;

/** Numbers that grow by one at the end. */
class Column {
  constructor(type) {
    this.data = new type(1024);
    this.length = 0;
  }

  push(value) {
    if (this.length === this.data.length) {
      const wider = new this.data.constructor(this.data.length * 2);
      wider.set(this.data);
      this.data = wider;
    }
    this.data[this.length++] = value;
  }
}

/** The earliest and the latest time in each block of items, so that what lies elsewhere is passed over. */
class Blocks {
  constructor() {
    this.first = [];
    this.last = [];
  }

  note(item, time) {
    const block = Math.floor(item / BLOCK);
    if (block >= this.first.length) {
      this.first.push(time);
      this.last.push(time);
    }
    if (time < this.first[block]) this.first[block] = time;
    if (time > this.last[block]) this.last[block] = time;
  }

  /** Calls `see` with each item whose block touches this span of time; `false` from it ends the walk. */
  walk(from, to, length, see) {
    for (let block = 0; block < this.first.length; block++) {
      if (this.last[block] < from || this.first[block] > to) continue;
      const end = Math.min(length, (block + 1) * BLOCK);
      for (let item = block * BLOCK; item < end; item++) if (see(item) === false) return;
    }
  }
}

/** Everything that the records say. */
export class Model {
  constructor() {
    /** Servers in the order of their names: `{name, roles, states, records}`. */
    this.servers = [];
    this.byName = new Map();
    /** The same by the numbers that messages have them by. */
    this.numbered = [];
    this.begin = Infinity;
    this.end = -Infinity;
    /** How many records were read. */
    this.count = 0;
    // Messages, by number.
    this.from = new Column(Uint8Array);
    this.to = new Column(Uint8Array);
    this.kind = new Column(Uint8Array);
    this.sent = new Column(Float64Array);
    this.received = new Column(Float64Array);
    this.term = new Column(Uint32Array);
    this.index = new Column(Float64Array);
    this.amount = new Column(Uint32Array);
    this.sequence = new Column(Float64Array);
    /** Tells nothing new: a heartbeat, the answer to one, or what is asked and answered again while a campaign is in vain. */
    this.folded = new Column(Uint8Array);
    this.messageBlocks = new Blocks();
    /** Why a message was ignored, by its number. */
    this.ignored = new Map();
    /** Records that are no messages, as they came. */
    this.events = [];
    this.eventBlocks = new Blocks();
    /** The network from each moment on. */
    this.network = [];
    this.flights = 0;
    this.flightSum = 0;
  }

  /** How many messages there are. */
  get messages() {
    return this.from.length;
  }

  /** How long a message typically takes, in nanoseconds. */
  get flight() {
    return this.flights ? this.flightSum / this.flights : 1e6;
  }

  /** The server of this name; a new one is put where its name belongs. */
  server(name) {
    let server = this.byName.get(name);
    if (!server) {
      server = { name, number: this.byName.size, roles: [], states: [], missing: [], records: [], sentTo: new Map(), last: new Map() };
      this.byName.set(name, server);
      this.servers.push(server);
      this.servers.sort((one, other) => one.name.localeCompare(other.name, 'en', { numeric: true }));
      this.numbered[server.number] = server;
    }
    return server;
  }

  /** Reads records, in the order in which they happened at each server. */
  push(records) {
    for (const record of records) this.read(record);
  }

  read(record) {
    const time = record.time_ns;
    if (!(time >= 0)) return;
    if (record.event === 'missing') {
      this.server(record.node).missing.push({ time, until: record.until_ns });
      return;
    }
    this.count++;
    if (time < this.begin) this.begin = time;
    if (time > this.end) this.end = time;
    switch (record.event) {
      case 'sent': return this.readSent(record, time);
      case 'received': return this.readReceived(record, time);
      case 'ignored': return this.readIgnored(record);
      case 'election_timer_reset': return undefined;
      case 'network': this.network.push({ loss: 0, delay_ns: 0, ...record }); return undefined;
      case 'deed': return this.readDeed(record, time);
      case 'server': {
        const server = this.server(record.node);
        server.roles.push({ time, role: record.role, term: record.term, why: null });
        server.states.push({ time, state: record.state });
        return undefined;
      }
    }
    const server = this.server(record.node);
    if (record.event === 'role_changed') {
      const { role, term, why } = record;
      const again = server.run?.role === role && why === 'election_timeout';
      if (!again) server.run = role.endsWith('candidate') ? { role, said: new Set(), times: [] } : null;
      server.roles.push({ time, role, term, why: again ? null : why, run: server.run });
    } else if (record.event === 'term_changed') {
      server.roles.push({ time, role: server.roles.at(-1)?.role ?? 'follower', term: record.new, why: 'term' });
    } else if (record.event === 'log_opened') {
      server.run = null;
      server.roles.push({ time, role: 'follower', term: server.roles.at(-1)?.term ?? 0, why: null });
      if (server.states.at(-1)?.state !== 'up') server.states.push({ time, state: 'up' });
    }
    this.keep(server, record, time);
  }

  keep(server, record, time) {
    this.eventBlocks.note(this.events.length, time);
    server.records.push(-1 - this.events.length);
    this.events.push(record);
  }

  readDeed(record, time) {
    if (LINK_DEEDS.includes(record.what)) return this.readLinks(record, time);
    const server = this.server(record.node);
    const state = STATES[record.what];
    if (state && server.states.at(-1)?.state !== state) server.states.push({ time, state });
    // Whatever it was, it begins as a follower.
    if (state === 'down') server.roles.push({ time, role: 'follower', term: server.roles.at(-1)?.term ?? 0, why: null });
    return this.keep(server, record, time);
  }

  /** What was done to the links of a server. */
  readLinks({ node, what, to, percent, delay_ns: delay }, time) {
    const before = this.network.at(-1);
    const after = { time_ns: time, cut: before?.cut ?? [], losses: { ...before?.losses }, delays: { ...before?.delays } };
    const others = () => after.cut.filter(([one, other]) => one !== node || other !== to);
    if (what === 'cut') after.cut = [...others(), [node, to]];
    else if (what === 'mend') after.cut = others();
    else if (what === 'lose') after.losses[node] = percent;
    else if (what === 'slow') after.delays[node] = delay;
    after.loss = Math.max(0, ...Object.values(after.losses));
    after.delay_ns = Math.max(0, ...Object.values(after.delays));
    // What is done at one moment is done at once.
    if (before?.time_ns === time) this.network.pop();
    this.network.push(after);
  }

  message(from, to, record) {
    const known = from.sentTo.get(record.sequence);
    // A server that started anew may begin to count again.
    if (known !== undefined && this.to.data[known] === to.number && this.kind.data[known] === KIND_NUMBER.get(record.kind)) {
      return known;
    }
    const message = this.from.length;
    this.from.push(from.number);
    this.to.push(to.number);
    this.kind.push(KIND_NUMBER.get(record.kind) ?? APPEND);
    this.sent.push(NaN);
    this.received.push(NaN);
    this.term.push(record.term ?? 0);
    this.index.push(record.index ?? 0);
    this.amount.push(record.count ?? 0);
    this.sequence.push(record.sequence);
    this.folded.push(record.kind === 'heartbeat' ? 1 : 0);
    from.sentTo.set(record.sequence, message);
    return message;
  }

  readSent(record, time) {
    const from = this.server(record.node);
    const to = this.server(record.to);
    let message = this.message(from, to, record);
    if (!Number.isNaN(this.sent.data[message])) {
      from.sentTo.delete(record.sequence);
      message = this.message(from, to, record);
    }
    this.sent.data[message] = time;
    this.messageBlocks.note(message, time);
    const kind = this.kind.data[message];
    // Whoever found a term on its disk tells it with what it sends; only who asks who would vote for it names another one.
    const role = from.roles.at(-1);
    if (role?.term === 0 && kind) role.term = record.term;
    if (kind === ACCEPTED) {
      const heard = from.last.get(to.number);
      this.folded.data[message] = heard && heard.kind === HEARTBEAT && record.index <= heard.told ? 1 : 0;
      if (heard) heard.told = Math.max(heard.told, record.index);
    }
    if (kind <= VOTES) {
      const asks = kind % 2 === 0;
      const again = this.saidBefore(asks ? from : to, `${kind} ${from.number} ${to.number} ${record.count}`);
      this.folded.data[message] = again ? 1 : 0;
      if (again && asks && from.run.times.at(-1) !== time) from.run.times.push(time);
    }
    from.records.push(message * 2);
    this.fly(message);
  }

  /** Whether this was said before in the campaign of this server. */
  saidBefore({ run }, words) {
    const before = run?.said.has(words);
    run?.said.add(words);
    return before;
  }

  readReceived(record, time) {
    const from = this.server(record.from);
    const to = this.server(record.node);
    const message = this.message(from, to, record);
    const again = !Number.isNaN(this.received.data[message]);
    to.records.push(message * 2 + 1);
    const kind = this.kind.data[message];
    if (kind === APPEND || kind === HEARTBEAT) {
      const heard = to.last.get(from.number);
      if (heard) heard.kind = kind;
      else to.last.set(from.number, { kind, told: 0 });
    }
    // A duplicate arrives at an arrow that has arrived.
    if (again) return;
    // Whoever is reached at last is worth an arrow.
    if (kind <= VOTES && kind % 2 === 0 && !this.saidBefore(from, `>${to.number}`)) this.folded.data[message] = 0;
    this.received.data[message] = time;
    this.messageBlocks.note(message, time);
    this.fly(message);
  }

  fly(message) {
    const took = this.received.data[message] - this.sent.data[message];
    // Clocks are set as well as messages tell: nothing arrives before it has left.
    if (took < 0) this.received.data[message] = this.sent.data[message];
    if (took >= 0) {
      this.flights++;
      this.flightSum += took;
    }
  }

  readIgnored(record) {
    const message = this.server(record.from).sentTo.get(record.sequence);
    if (message !== undefined) this.ignored.set(message, record.why);
  }

  /** Messages that are under way, or lost, or arrive, in this span. */
  walkMessages(from, to, see) {
    this.messageBlocks.walk(from, to, this.messages, see);
  }

  /** Records that are no messages, in this span. */
  walkEvents(from, to, see) {
    this.eventBlocks.walk(from, to, this.events.length, (item) => {
      const event = this.events[item];
      return event.time_ns >= from && event.time_ns <= to ? see(event, item) : undefined;
    });
  }

  /** The network at this time: `{cut, loss, delay_ns}`. */
  networkAt(time) {
    return latest(this.network, time, 'time_ns') ?? { time_ns: 0, cut: [], loss: 0, delay_ns: 0 };
  }

  /** A server's role and term at this time; `unknown` before its first record. */
  roleAt(server, time) {
    return latest(server.roles, time, 'time') ?? { time: 0, role: 'follower', term: 0, why: null, unknown: true };
  }

  /** Whether a server is `up`, `down`, `paused` or `silent` at this time. */
  stateAt(server, time) {
    return latest(server.states, time, 'time')?.state ?? 'up';
  }

  /**
   * What became of a message by the time `now`: `arrived`, `lost`, `travelling`, `unrecorded`; and why, if it is lost and
   * that is known.
   */
  fate(message, now, grace) {
    const received = this.received.data[message];
    if (received <= now) return { fate: 'arrived', why: null };
    const sent = this.sent.data[message];
    const from = this.numbered[this.from.data[message]];
    const to = this.numbered[this.to.data[message]];
    if (received > now) return { fate: 'travelling', why: null };
    const network = this.networkAt(sent);
    if (network.cut.some(([one, other]) => one === from.name && other === to.name)) return { fate: 'lost', why: 'cut' };
    // A server that was killed may have taken it before, whatever it was afterwards.
    if (latest(to.missing, sent + this.flight, 'time')?.until >= sent) return { fate: 'unrecorded', why: null };
    const state = this.stateAt(to, sent + this.flight);
    if (state === 'down') return { fate: 'lost', why: 'down' };
    if (state === 'silent') return { fate: 'unrecorded', why: null };
    if (this.stateAt(to, now) === 'paused') return { fate: 'travelling', why: 'paused' };
    if (now - sent < grace + 2 * (network.delay_ns ?? 0)) return { fate: 'travelling', why: null };
    return { fate: 'lost', why: network.loss > 0 ? 'chance' : null };
  }

  /** What the sender did and learnt just before it sent, and what the receiver did with it: `{before, after}`. */
  around(message) {
    const sender = this.numbered[this.from.data[message]];
    const receiver = this.numbered[this.to.data[message]];
    const before = this.until(sender, message * 2, this.sent.data[message]);
    const after = this.since(receiver, message * 2 + 1);
    return { before, after };
  }

  /** What stands before an item in a server's records: back to what it received last, at most 24 records. */
  until(server, item, time) {
    const at = this.place(server, item, time);
    const found = [];
    for (let place = at - 1; place >= 0 && at - place < 24; place--) {
      const other = server.records[place];
      const event = other < 0 ? this.events[-1 - other] : null;
      const when = event ? event.time_ns : this.sent.data[other >> 1];
      if (event) found.unshift(event);
      else if (other & 1) {
        if (this.received.data[other >> 1] === time || found.length === 0) found.unshift({ event: 'received', message: other >> 1 });
        break;
      } else if (when < time - 2e6 && found.length) break;
    }
    return found;
  }

  /** What follows the arrival of a message at a server: to the next arrival, at the same moment. */
  since(server, item) {
    const time = this.received.data[item >> 1];
    if (Number.isNaN(time)) return [];
    const at = this.place(server, item, time);
    const found = [];
    for (let place = at + 1; place < server.records.length && found.length < 12; place++) {
      const other = server.records[place];
      if (other < 0) {
        const event = this.events[-1 - other];
        if (event.time_ns > time + 1e6) break;
        found.push(event);
      } else if (other & 1) break;
      else if (this.sent.data[other >> 1] <= time + 1e6) found.push({ event: 'sent', message: other >> 1 });
    }
    return found;
  }

  /** Where an item stands in a server's records. They are in the order of time. */
  place(server, item, time) {
    let low = 0;
    let high = server.records.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.timeOf(server.records[middle]) < time) low = middle + 1;
      else high = middle;
    }
    const exact = server.records.indexOf(item, low);
    return exact < 0 ? low : exact;
  }

  timeOf(item) {
    if (item < 0) return this.events[-1 - item].time_ns;
    return item & 1 ? this.received.data[item >> 1] : this.sent.data[item >> 1];
  }

  /** How all stood at this time, as records that another model can begin with. */
  standing(time) {
    const servers = this.servers.map((server) => {
      const { role, term } = this.roleAt(server, time);
      return { time_ns: time, event: 'server', node: server.name, role, term, state: this.stateAt(server, time) };
    });
    return [...servers, { ...this.networkAt(time), time_ns: time, event: 'network' }];
  }

  /** Who can hear whom, both ways: groups of names, largest first. One group: the network is whole, or nearly. */
  groups(network) {
    const cut = new Set(network.cut.flatMap(([from, to]) => [`${from} ${to}`, `${to} ${from}`]));
    const left = new Set(this.servers.map((server) => server.name));
    const groups = [];
    while (left.size) {
      const group = [left.values().next().value];
      left.delete(group[0]);
      for (const one of group) {
        for (const other of left) {
          if (!cut.has(`${one} ${other}`)) {
            left.delete(other);
            group.push(other);
          }
        }
      }
      groups.push(group.sort((one, other) => one.localeCompare(other, 'en', { numeric: true })));
    }
    return groups.sort((one, other) => other.length - one.length);
  }
}

/** The last item at or before this time, in a list that is in the order of time. */
function latest(items, time, key) {
  let low = 0;
  let high = items.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (items[middle][key] <= time) low = middle + 1;
    else high = middle;
  }
  return items[low - 1] ?? null;
}
