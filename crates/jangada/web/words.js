// Records and messages in words: what it was, why it was so, and where the paper says so.
//
// Here and in the other modules, "double quotes" say something to people: the catalogue (src/lab/page/pt.txt) has it in their
// language. So it has each 'string' and `template` with a blank in it that is said.

import { KINDS } from './model.js';

const ROLE_WHY = {
  election_timeout: 'it heard no leader for an election timeout',
  asked: 'it was asked to stand for election',
  pre_vote_won: 'a majority would vote for it',
  election_won: 'a majority voted for it',
  higher_term: 'it heard of a newer term',
  leader_found: 'the term has a leader',
  quorum_lost: 'it heard no majority for an election timeout',
  election_lost: 'a majority refused',
  removed: 'it is no member any more',
};

const VOTE_WHY = {
  old_term: () => 'the term is over',
  already_voted: (event) => `it has voted for ${event.voted_for} in this term`,
  log_behind: () => 'its own log is newer [paper §5.4.1]',
  leader_alive: (event) => `it heard from leader ${event.leader} just now [thesis §9.6]`,
  is_leader: () => 'it leads itself',
};

// What is not here is told by its own name.
const IGNORED = {
  old_term: 'its term is over [paper §5.1]',
  stale: 'it answers a question that is settled',
  wrong_role: 'the receiver has another role by now',
  cannot_campaign: 'the receiver cannot campaign',
};

const NAMES = {
  pre_vote: 'PreVote', pre_vote_reply: 'PreVote reply', vote: 'RequestVote', vote_reply: 'RequestVote reply',
  append: 'AppendEntries', heartbeat: "heartbeat", append_accepted: 'AppendEntries accepted',
  append_refused: 'AppendEntries refused', snapshot: 'InstallSnapshot', snapshot_reply: 'InstallSnapshot reply',
  timeout_now: 'TimeoutNow', read_index: 'ReadIndex', read_index_reply: 'ReadIndex reply',
};

/** `+1.204567 s`, with so many decimals. */
export function since(nanos, decimals = 3) {
  return `+${(nanos / 1e9).toFixed(decimals)} s`;
}

/** A duration: `213 ms`, `0.52 ms`, `1.2 s`. */
export function span(nanos) {
  if (nanos >= 1e9) return `${+(nanos / 1e9).toPrecision(3)} s`;
  if (nanos >= 1e6) return `${+(nanos / 1e6).toPrecision(3)} ms`;
  return `${+(nanos / 1e3).toPrecision(3)} µs`;
}

/** What a server is that is not up. */
export function stateWord(state) {
  return { down: "down", paused: 'stands still', silent: 'not heard', refused: "refuses connections" }[state] ?? state;
}

const ROLES = { leader: "leader", candidate: "candidate", pre_candidate: "pre-candidate", follower: "follower" };

/** A role as people write it. */
export function roleWord(role) {
  return ROLES[role] ?? role;
}

/** `5`, or `5 to 7`. */
function entries(first, last) {
  return first >= last ? `entry ${first}` : `entries ${first} to ${last}`;
}

/** What a message is, in two or three words: `append 5..7`, `vote t3`. */
export function shortMessage(kind, term, index, count) {
  switch (KINDS[kind]) {
    case 'pre_vote': return `would you vote? t${term}`;
    case 'vote': return `vote for me t${term}`;
    case 'pre_vote_reply': return count ? "would" : 'would not';
    case 'vote_reply': return count ? "yes" : "no";
    case 'append': return count > 1 ? `append ${index + 1}..${index + count}` : count ? `append ${index + 1}` : 'append: fits?';
    case 'append_accepted': return `has ${index}`;
    case 'append_refused': return `not after ${index}`;
    case 'heartbeat': return "heartbeat";
    case 'snapshot': return `snapshot ${index}`;
    case 'snapshot_reply': return count ? "installed" : "more";
    case 'timeout_now': return 'campaign now';
    case 'read_index': return "read?";
    case 'read_index_reply': return `read at ${index}`;
    default: return KINDS[kind];
  }
}

/** What an event says, as a sentence without its server; `null`: too small to be told. */
export function sentence(event) {
  const { why } = event;
  switch (event.event) {
    case 'role_changed': return `becomes ${roleWord(event.role)} of term ${event.term}: ${ROLE_WHY[why] ?? why}`;
    case 'term_changed':
      return `goes from term ${event.old} to ${event.new}, ${event.from ? `told by ${event.from}` : 'for its own campaign'}`;
    case 'leader_known': return `follows ${event.leader}, leader of term ${event.term}`;
    case 'vote_granted': return event.pre_vote ? `would vote for ${event.to} in term ${event.term}` : `votes for ${event.to} in term ${event.term}`;
    case 'vote_refused': {
      const because = VOTE_WHY[why]?.(event) ?? why;
      return event.pre_vote ? `would not vote for ${event.to}: ${because}` : `does not vote for ${event.to}: ${because}`;
    }
    case 'vote_received':
      return event.granted ? `hears that ${event.from} is for it (${event.votes} so far)` : `hears that ${event.from} is not for it (${event.votes} so far)`;
    case 'appended': return `appends ${entries(event.first, event.last)}, term ${event.term}`;
    case 'durable': return `has its log on disk up to ${event.last}`;
    case 'truncated': return `removes ${entries(event.first, event.last)}: the leader has others there [paper §5.3]`;
    case 'log_conflict': return `finds that ${event.peer}'s log differs at ${event.prev_log_index}; tries again from ${event.next_index}`;
    case 'committed': return `knows all up to ${event.index} to be committed`;
    case 'snapshot_taken': return `cuts its log: a snapshot stands for all up to ${event.index}`;
    case 'snapshot_installed': return `replaces all up to ${event.index} by ${event.from}'s snapshot [paper §7]`;
    case 'membership_changed': return `has ${event.voters} voters from entry ${event.index} on (${event.stage}) [paper §6]`;
    case 'transfer_started': return `hands leadership over to ${event.to} [thesis §3.10]`;
    case 'read_confirmed': return `knows that it still leads: ${event.reads} read(s) at ${event.index} are good [thesis §6.4]`;
    case 'read_refused': return 'refuses a read: it cannot prove that it leads';
    case 'proposal_refused': return `refuses a command: ${why}`;
    case 'log_opened': return event.last ? `starts with a log up to ${event.last}` : 'starts with an empty log';
    case 'deed':
      return { crash: 'loses its power', start: "starts", pause: 'stands still', resume: 'goes on', stall: 'has a disk that stands still', unstall: 'has its disk back',
        silent: 'is not heard any more', heard: 'is heard again' }[event.what] ?? event.what;
    default: return null;
  }
}

/** Why a message of this kind is sent at all. */
function reason(kind, from, to, term, index, count, before) {
  const last = (name) => before.findLast((event) => event.event === name);
  const refusal = last('vote_refused');
  const role = last('role_changed');
  switch (kind) {
    case 'pre_vote':
      return `${from} asks whether it could win before it raises its term, so that it disturbs nobody [thesis §9.6]`
        + (role?.why === 'election_timeout' ? `: ${ROLE_WHY.election_timeout}` : '');
    case 'vote': return `${from} stands for election in term ${term}, and its log ends at ${index} [paper §5.2, §5.4.1]`
      + (role ? `: ${ROLE_WHY[role.why] ?? role.why}` : '');
    case 'pre_vote_reply':
    case 'vote_reply':
      if (count) return `${from} ${kind === 'vote_reply' ? `has no other candidate in term ${term}` : 'hears no leader'}, and the log it was asked to elect is not behind its own [paper §5.4.1]`;
      return refusal ? `${from} ${sentence(refusal)}` : `${from} refuses`;
    case 'append':
      return count ? `${from} leads term ${term}; ${to} is sent what follows ${index} [paper §5.3]`
        : `${from} asks whether ${to}'s log fits at ${index} [paper §5.3]`;
    case 'heartbeat': return `${from} leads term ${term}: nobody need stand for election, and reads can be confirmed [paper §5.2, thesis §6.4]`;
    case 'append_accepted': return `${from} has everything up to ${index} on its disk: it counts for the majority [paper §5.3]`;
    case 'append_refused': return `${from} has no entry ${index} of that term: the leader will try further back [paper §5.3]`;
    case 'snapshot': return `${to} needs entries that ${from} has cut off: a snapshot stands for them [paper §7]`;
    case 'snapshot_reply': return `${from} ${count ? 'has installed the snapshot' : 'has this part of the snapshot'} [paper §7]`;
    case 'timeout_now': return `${from} hands leadership over: ${to} need not wait for its timeout [thesis §3.10]`;
    case 'read_index': return `somebody reads at ${from}, and only the leader knows up to where [thesis §6.4]`;
    case 'read_index_reply': return count ? `${from} has proved that it still leads: reads at ${index} are good [thesis §6.4]` : `${from} could not prove that it leads`;
    default: return '';
  }
}

/** A message in words: `{title, facts: [[name, text]], why, became, after: [sentence]}`. */
export function tellMessage(model, message, now, grace) {
  const from = model.numbered[model.from.data[message]].name;
  const to = model.numbered[model.to.data[message]].name;
  const kind = KINDS[model.kind.data[message]];
  const [term, index, count] = [model.term, model.index, model.amount].map((column) => column.data[message]);
  const sent = model.sent.data[message];
  const received = model.received.data[message];
  const { before, after } = model.around(message);
  const { fate, why } = model.fate(message, now, grace);
  const facts = [["sent", since(sent, 6)]];
  facts.push(["term", String(term)]);
  if (kind === 'append' && count) facts.push(["entries", `${index + 1}${count > 1 ? ` to ${index + count}` : ''}`]);
  else if (index || kind.startsWith('append')) facts.push(["index", String(index)]);
  facts.push(["number", `#${model.sequence.data[message] % 2 ** 40} of ${from}`]);
  let became;
  if (fate === 'arrived') became = `arrived ${span(received - sent)} later`;
  else if (fate === 'unrecorded') became = `nobody knows: what happened at ${to} then is not recorded`;
  else if (fate === 'travelling') became = why === 'paused' ? `waits: ${to} stands still` : 'is under way';
  else {
    became = { cut: `lost: the link ${from} → ${to} was cut`, down: `lost: ${to} was down`,
      chance: 'lost by chance, as `lose` wants it' }[why] ?? 'never arrived, as far as these records go';
  }
  const ignored = model.ignored.get(message);
  if (ignored) became += `; ignored: ${IGNORED[ignored] ?? ignored}`;
  const cause = before.find((event) => event.event === 'received');
  const causes = before.map(sentence).filter(Boolean);
  if (cause) {
    const of = model.numbered[model.from.data[cause.message]].name;
    causes.unshift(`had received ${NAMES[KINDS[model.kind.data[cause.message]]]} from ${of}`);
  }
  const effects = after.map((event) => (event.message === undefined ? sentence(event)
    : `answers ${model.numbered[model.to.data[event.message]].name}: ${
      shortMessage(model.kind.data[event.message], model.term.data[event.message], model.index.data[event.message], model.amount.data[event.message])}`));
  return {
    title: `${NAMES[kind]}  ${from} → ${to}`, facts, became, fate,
    why: reason(kind, from, to, term, index, count, before),
    before: causes.map((text) => `${from} ${text}`),
    after: effects.filter(Boolean).map((text) => `${to} ${text}`),
  };
}
