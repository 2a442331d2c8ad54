// The clocks of servers that are not one process: each counts from its own start. How far they are apart is told by the
// messages between them, as nothing arrives before it has left; until there are enough of them, by who was asked when.

/** Messages whose other end is not known yet. */
const MAX_OPEN = 20_000;
/** A message says something about clocks for so long, in nanoseconds: clocks drift. */
const FRESH = 2e10;

/** How far each clock is behind that of the first server, in nanoseconds. */
export class Clocks {
  constructor(first) {
    this.first = first;
    /** What must be added to a server's time. */
    this.offsets = new Map([[first, 0]]);
    /** From whom to whom: the quickest messages of late, as differences of two clocks. */
    this.links = new Map();
    this.open = new Map();
    this.guesses = new Map();
  }

  /** A server has started anew, and counts from there. */
  forget(name) {
    if (name !== this.first) this.offsets.delete(name);
    this.guesses.delete(name);
    for (const [key, link] of this.links) if (link.from === name || link.to === name) this.links.delete(key);
    for (const [key, end] of this.open) if (end.at === name || end.other === name) this.open.delete(key);
  }

  /** When its time was asked for, the first one's would have been so much more; right to within `slack`. */
  guess(name, offset, slack) {
    const before = this.guesses.get(name);
    if (!before || slack < before.slack) this.guesses.set(name, { offset, slack });
  }

  /** Looks for both ends of messages. */
  see(records) {
    for (const { event, node, to, from, sequence, time_ns: time } of records) {
      if (event !== 'sent' && event !== 'received') continue;
      const [sender, receiver] = event === 'sent' ? [node, to] : [from, node];
      const key = `${sender} ${receiver} ${sequence}`;
      const end = this.open.get(key);
      if (!end) this.open.set(key, { at: node, other: to ?? from, event, time });
      else if (end.event !== event) {
        this.open.delete(key);
        this.note(sender, receiver, event === 'sent' ? end.time - time : time - end.time, time);
      }
    }
    for (const key of this.open.keys()) {
      if (this.open.size <= MAX_OPEN) break;
      this.open.delete(key);
    }
  }

  note(from, to, took, time) {
    const key = `${from} ${to}`;
    const link = this.links.get(key) ?? { from, to, since: time, before: Infinity, least: Infinity };
    if (Math.abs(time - link.since) > FRESH) Object.assign(link, { since: time, before: link.least, least: Infinity });
    link.least = Math.min(link.least, took);
    this.links.set(key, link);
  }

  /** The quickest message of late. */
  least(from, to) {
    const link = this.links.get(`${from} ${to}`);
    return link ? Math.min(link.before, link.least) : Infinity;
  }

  /** Sets the clocks of these servers: where nothing is known yet, and where messages contradict what was thought. */
  set(names) {
    const { offsets } = this;
    // From server to server, along the links whose messages leave the least room.
    for (;;) {
      let best = null;
      for (const to of names.filter((name) => !offsets.has(name))) {
        for (const [from, offset] of offsets) {
          const [there, back] = [this.least(from, to), this.least(to, from)];
          if (there + back < (best?.room ?? Infinity)) best = { to, room: there + back, offset: offset + (back - there) / 2 };
        }
      }
      if (!best) break;
      offsets.set(best.to, best.offset);
    }
    for (const name of names) if (!offsets.has(name) && this.guesses.has(name)) offsets.set(name, this.guesses.get(name).offset);
    for (let round = 0; round < names.length; round++) {
      for (const { from, to } of this.links.values()) {
        const early = (offsets.get(from) ?? NaN) - (offsets.get(to) ?? NaN) - this.least(from, to);
        if (!(early > 0)) continue;
        // The first server's clock is the one that all are set by.
        if (to !== this.first) offsets.set(to, offsets.get(to) + early);
        else offsets.set(from, offsets.get(from) - early);
      }
    }
  }

  /** A server's time on the first one's clock; `NaN` while that is not known. */
  at(name, time) {
    return time + (this.offsets.get(name) ?? NaN);
  }
}
