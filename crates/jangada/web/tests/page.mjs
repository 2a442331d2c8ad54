// What somebody does who opens the page, and what is to be seen then.

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { Diagram } from '../diagram.js';
import { entry, leader, openLab, serve, type } from './lab.mjs';
import { Model } from '../model.js';

/** Runs a test with a laboratory, which must not have given the browser any trouble. */
function withLab(args, test) {
  return async (browser) => {
    const lab = await openLab(browser, args);
    try {
      await test(lab);
      assert.deepEqual(lab.troubles, [], 'no error in the console, no request to another host');
    } catch (error) {
      const pages = browser.contexts().flatMap((context) => context.pages());
      const seen = await Promise.all(pages.map((page) => page.innerText('body')));
      error.seen = [...seen, ...lab.troubles].join('\n---\n');
      throw error;
    } finally {
      for (const context of browser.contexts()) await context.close();
      await lab.end();
    }
  };
}

const live = (test) => withLab([], test);
const simulated = (test) => withLab(['--sim', '--seed', '7'], test);

/** Walks back through the messages to one of this kind, whose text fits. */
async function find(page, kind, fits = /^/) {
  for (let steps = 0; steps < 400; steps++) {
    await page.keyboard.press('[');
    const title = await page.textContent('#chosen');
    if (title.startsWith(kind) && fits.test(title)) return title;
  }
  throw new Error(`no ${kind} among the messages`);
}

/** Waits until the text of an element has this in it. */
function says(page, selector, text) {
  return page.waitForFunction(([where, what]) => document.querySelector(where).textContent.includes(what), [selector, text]);
}

/** Sends a line to a server, and waits for the first words of its answer. */
function send(address, line) {
  const [host, port] = address.split(':');
  return new Promise((done, failed) => {
    const socket = connect(Number(port), host, () => socket.write(line));
    socket.once('data', (data) => { socket.end(); done(String(data)); });
    socket.on('error', failed);
  });
}

/** How many messages the diagram shows. */
async function messages(page) {
  const label = await page.getAttribute('#diagram canvas', 'aria-label');
  return Number(label.match(/(\d+) messages/)[1]);
}

export const tests = {
  a_leader_that_is_crashed_by_its_button_is_replaced: live(async ({ open }) => {
    const page = await open();
    const first = await leader(page);
    await page.click(`.card[aria-label=${first.name}] button:text("crash")`);
    await page.waitForSelector(`.card.down[aria-label=${first.name}]`);
    const second = await leader(page, first.name);
    assert.ok(second.term > first.term);
    await says(page, '#state', `${second.name} leads term ${second.term}`);
    await page.waitForFunction(() => Number(document.querySelector('#diagram canvas').getAttribute('aria-label').match(/(\d+) messages/)[1]) > 4);
    await page.evaluate(() => document.activeElement.blur());
    const told = await find(page, 'RequestVote  ');
    assert.match(told, /stands for election in term \d+/);
    assert.match(told, /paper §5\.2/);
    await page.click(`.card[aria-label=${first.name}] button:text("restart")`);
    await page.waitForSelector(`.card.follower[aria-label=${first.name}]`);
  }),

  a_key_set_at_the_prompt_stands_in_the_log_grid: live(async ({ open }) => {
    const page = await open();
    await leader(page);
    await type(page, 'set d 8');
    await says(page, '#said', 'set d 8: OK');
    const { cells } = await entry(page, 'd=8', 5);
    assert.equal(cells.length, 5);
    await type(page, 'get d');
    await says(page, '#said', 'get d: 8');
    await page.fill('#line', 'cra');
    await page.press('#line', 'Tab');
    await page.waitForFunction(() => document.querySelector('#line').value === 'crash ');
    await page.fill('#line', 'crash n');
    await page.press('#line', 'Tab');
    await says(page, '#said', 'n1  n2  n3');
    assert.equal(await page.inputValue('#line'), 'crash n');
    await type(page, 'xyzzy');
    await says(page, '#said', 'is no command');
    await type(page, 'exit');
    await says(page, '#said', 'ended where it was started');
  }),

  all_that_happened_is_saved_as_a_picture: live(async ({ open }) => {
    const page = await open();
    await leader(page);
    const [saved] = await Promise.all([page.waitForEvent('download'), page.click('#picture')]);
    assert.equal(saved.suggestedFilename(), 'jangada.svg');
    assert.match(await readFile(await saved.path(), 'utf8'), /leader · term/);
  }),

  a_partition_is_told_and_healed_by_a_button: live(async ({ open }) => {
    const page = await open();
    const old = await leader(page);
    await page.click(`.card[aria-label=${old.name}] button:text("isolate")`);
    await says(page, '#links', '8 links cut');
    await says(page, `.card[aria-label=${old.name}] .note`, 'cut off from');
    await page.waitForFunction((name) => [...document.querySelectorAll('.card.leader')].some((card) => card.getAttribute('aria-label') !== name), old.name);
    await page.click('#heal');
    await page.waitForFunction(() => document.querySelector('#links').textContent === '');
    await page.waitForSelector(`.card.follower[aria-label=${old.name}]`);
  }),

  one_stands_still_and_goes_on_and_leadership_is_handed_over: live(async ({ open }) => {
    const page = await open();
    const first = await leader(page);
    await page.click('.card.follower button:text("pause")');
    await page.waitForSelector('.card.paused');
    await page.click('.card.paused button:text("resume")');
    await page.waitForFunction(() => !document.querySelector('.card.paused'));
    await page.click('.card.leader button:text("step down")');
    await leader(page, first.name);
    await page.click('.card.leader button:text("why")');
    await says(page, '#said', 'lab> why');
  }),

  a_browser_that_was_away_goes_on_where_it_was: live(async ({ open }) => {
    const page = await open();
    await leader(page);
    await type(page, 'set before 1');
    await says(page, '#said', 'set before 1: OK');
    const other = await open();
    await leader(other);
    await other.context().setOffline(true);
    await type(page, 'set meanwhile 2');
    await says(page, '#said', 'set meanwhile 2: OK');
    await other.context().setOffline(false);
    await says(other, '#said', 'set meanwhile 2: OK');
    const said = await other.textContent('#said');
    assert.equal(said.split('set before 1: OK').length, 2, 'nothing is told twice');
  }),

  what_is_not_the_present_any_more_is_said_to_be_late: live(async ({ open, stand, go }) => {
    const page = await open();
    await leader(page);
    assert.ok(await page.isHidden('#late'));
    stand();
    await page.waitForSelector('#late:not([hidden])');
    go();
    await page.waitForSelector('#late', { state: 'hidden' });
    // Where nothing happens there is nothing to be late for.
    await type(page, 'crash all');
    await page.waitForFunction(() => document.querySelectorAll('.card.down').length === 5);
    const then = await page.evaluate(() => Number(document.body.dataset.now));
    await page.waitForFunction((time) => Number(document.body.dataset.now) > time + 3.5e9, then);
    assert.ok(await page.isHidden('#late'));
  }),

  a_lesson_in_a_made_up_world_is_shown_while_real_servers_rest: live(async ({ open }) => {
    const page = await open();
    await leader(page);
    await type(page, 'lesson 2');
    await page.waitForSelector('#time:not([hidden])');
    await page.waitForFunction(() => document.querySelectorAll('.card').length === 4);
    for (const line of ['timeout 1', 'timeout 2', 'run 5ms', 'lesson check', 'wait leader', 'set d 8', 'lesson check']) await type(page, line);
    await says(page, '#said', 'set d 8: OK');
    await says(page, '#said', 'lesson 2 is done');
    await leader(page);
    await entry(page, 'd=8');
    assert.ok(await page.isHidden('#late'));
    await type(page, 'lesson stop');
    await page.waitForSelector('#time', { state: 'hidden' });
    await page.waitForFunction(() => document.querySelectorAll('.card').length === 5);
    await leader(page);
    await type(page, 'set e 9');
    await entry(page, 'e=9', 3);
    assert.ok(await page.isHidden('#late'));
  }),

  the_box_that_says_why_goes_with_its_world: simulated(async ({ open }) => {
    const page = await open();
    await page.waitForSelector('#time:not([hidden])');
    await type(page, 'wait leader');
    await leader(page);
    await page.evaluate(() => document.activeElement.blur());
    for (const line of ['goto 0s', 'back', 'servers 3']) {
      await type(page, 'wait leader');
      await leader(page);
      await page.evaluate(() => document.activeElement.blur());
      await find(page, 'RequestVote');
      await type(page, line);
      await page.waitForSelector('#chosen .empty');
    }
  }),

  portuguese_words_are_whole_and_buttons_keep_apart: withLab(['--sim', '--seed', '7', '--lang', 'pt'], async ({ open }) => {
    for (const [width, count] of [[1280, 5], [1280, 7], [390, 6]]) {
      const page = await open({ width, height: 844 });
      await page.waitForSelector('#time:not([hidden])');
      const forks = count === 5 ? ['fork one', 'fork two'] : [];
      for (const line of [`servers ${count}`, 'wait leader', ...forks, 'pause 3', 'crash 4', 'isolate 5', 'run 600ms']) await type(page, line);
      await page.waitForFunction((cards) => document.querySelectorAll('.card').length === cards, count);
      await page.waitForSelector('.card.pre_candidate');
      const cut = await page.$$eval('.card .role', (roles) => roles.filter((role) => role.scrollWidth > role.clientWidth).map((role) => role.textContent));
      assert.deepEqual(cut, [], `role words on ${width}`);
      const wide = await page.$$eval('.acts', (acts) => acts.filter((act) => act.scrollWidth > act.clientWidth).length);
      assert.equal(wide, 0, `buttons stay on their cards on ${width}`);
      const [one, two] = await page.$$eval('#forks button', (forks) => forks.map((fork) => fork.getBoundingClientRect()));
      assert.ok(two.left - one.right >= 4 || two.top > one.bottom, 'forks stand apart');
      await page.close();
    }
  }),

  what_is_not_known_is_not_drawn_and_labels_keep_off_arrows: async () => {
    const model = new Model();
    model.push([{ time_ns: 500, node: 'n1', event: 'server', role: 'leader', term: 3, state: 'up' }]);
    const at = (time) => model.roleAt(model.byName.get('n1'), time);
    assert.deepEqual([at(400).unknown, at(500).unknown, at(500).term], [true, undefined, 3]);
    const clear = (x, y) => Diagram.prototype.isClear.call({
      paper: { measureText: () => ({ width: 40 }) }, lines: [[0, 0, 100, 100], [200, 0, 200, 100]],
    }, 'vote', x, y);
    assert.deepEqual([clear(54, 45), clear(30, 50), clear(180, 50), clear(210, 50)], [true, false, false, true]);
  },

  who_was_killed_leads_no_more_when_it_starts_again: async () => {
    const model = new Model();
    const deed = (time, what) => ({ time_ns: time, event: 'deed', node: 'n1', what });
    model.push([{ time_ns: 0, event: 'role_changed', node: 'n1', role: 'leader', term: 1, why: 'election_won' }, deed(5, 'crash'), deed(9, 'start')]);
    const { role, term } = model.roleAt(model.server('n1'), 9);
    assert.deepEqual([role, term], ['follower', 1]);
  },

  time_is_rewound_and_forked_in_a_made_up_world: simulated(async ({ open }) => {
    const page = await open();
    await page.waitForSelector('#time:not([hidden])');
    await type(page, 'wait leader');
    const first = await leader(page);
    await type(page, 'set d 8');
    await entry(page, 'd=8');
    await type(page, 'run 200ms');
    await type(page, 'crash leader');
    await type(page, 'wait leader');
    const second = await leader(page, first.name);
    const late = Number(await page.inputValue('#when'));
    await page.click('#fork');
    await page.waitForSelector('#forks button');
    // Rewound by the slider: the first one leads again, and time is what it was.
    await page.$eval('#when', (slider, to) => {
      slider.value = String(to);
      slider.dispatchEvent(new Event('input'));
      slider.dispatchEvent(new Event('change'));
    }, late / 2);
    assert.deepEqual(await leader(page, second.name), first);
    await page.waitForFunction((then) => Number(document.querySelector('#when').value) < then, late);
    assert.ok(await messages(page) > 0);
    // Another story from there, and back to the fork.
    await type(page, 'set other 9');
    await entry(page, 'other=9');
    await page.click('#forks button');
    assert.deepEqual(await leader(page, first.name), second);
    await page.waitForFunction(() => !document.querySelector('#grid').textContent.includes('other=9'));
  }),

  an_address_tells_seed_time_and_what_was_typed: simulated(async ({ open }) => {
    const page = await open();
    await page.waitForSelector('#time:not([hidden])');
    await type(page, 'wait leader');
    await leader(page);
    await type(page, 'set d 8');
    await entry(page, 'd=8');
    await page.waitForFunction(() => location.hash.includes('set+d+8'));
    const hash = await page.evaluate(() => location.hash);
    const logs = await page.textContent('#grid');
    assert.match(hash, /seed=7&t=0\.\d+/);
    await type(page, 'back 2');
    await page.waitForFunction(() => !document.querySelector('#grid').textContent.includes('d=8'));
    const other = await open({ hash });
    await entry(other, 'd=8');
    await other.waitForFunction((wanted) => location.hash.includes(wanted), hash.match(/t=[\d.]+/)[0]);
    assert.equal(await other.textContent('#grid'), logs);
  }),

  time_passes_slowly_while_it_plays: simulated(async ({ open }) => {
    const page = await open();
    await page.waitForSelector('#time:not([hidden])');
    await page.selectOption('#speed', '0.1');
    await page.evaluate(() => document.activeElement.blur());
    await page.keyboard.press(' ');
    await leader(page);
    await page.keyboard.press(' ');
    await page.waitForFunction(() => document.querySelector('#play').textContent === 'play');
    await page.waitForFunction(() => location.hash.includes('run+'));
    const moves = await page.evaluate(() => new URLSearchParams(location.hash.slice(1)).get('do').split('\n'));
    assert.equal(moves.length, 3, `all that was played counts as one command: ${moves}`);
    await page.keyboard.press('.');
    await says(page, '#said', 'lab> step');
    await page.keyboard.press(',');
    await says(page, '#said', 'lab> back');
  }),

  keys_do_what_the_help_says: live(async ({ open }) => {
    const page = await open();
    await leader(page);
    // The picture is a little behind: what is looked for lies further back than this.
    await type(page, 'set a 1');
    await entry(page, 'a=1', 5);
    await page.evaluate(() => document.activeElement.blur());
    await page.keyboard.press('?');
    await page.waitForSelector('#keys[open]');
    await page.keyboard.press('Escape');
    await page.waitForSelector('#keys:not([open])', { state: 'attached' });
    const follows = () => page.getAttribute('#now', 'aria-pressed');
    assert.equal(await follows(), 'true');
    await page.keyboard.press(' ');
    assert.equal(await follows(), 'false');
    await find(page, 'AppendEntries');
    await page.keyboard.press('ArrowUp');
    await page.keyboard.press('ArrowRight');
    await page.keyboard.press(' ');
    assert.equal(await follows(), 'true');
    await page.keyboard.press('/');
    assert.equal(await page.evaluate(() => document.activeElement.id), 'line');
  }),

  it_fits_a_desk_and_a_telephone_light_and_dark: live(async ({ open }) => {
    for (const [width, height, scheme] of [[1280, 800, 'light'], [390, 844, 'dark']]) {
      const page = await open({ width, height, scheme });
      await leader(page);
      const size = await page.evaluate(() => [document.documentElement.scrollWidth, document.documentElement.scrollHeight]);
      assert.ok(size[0] <= width, `${size[0]} wide on ${width}`);
      if (width > 900) assert.ok(size[1] <= height, `${size[1]} high on ${height}`);
      const cut = await page.$$eval('button', (buttons) => buttons
        .filter((button) => button.offsetParent && button.scrollWidth > button.clientWidth + 1).map((button) => button.textContent));
      assert.deepEqual(cut, [], 'all buttons show all of their words');
      const paper = await page.$eval('#diagram canvas', (canvas) => canvas.getContext('2d').getImageData(canvas.width - 3, canvas.height - 3, 1, 1).data[0]);
      assert.equal(paper > 128, scheme === 'light', 'the diagram is as light as the page');
    }
  }),

  kinds_of_messages_differ_in_colour_and_in_shape: live(async ({ open }) => {
    for (const scheme of ['light', 'dark']) {
      const page = await open({ scheme });
      await leader(page);
      const signs = await page.$$eval('.legend', (buttons) => buttons.map((button) => {
        const sign = button.querySelector('svg');
        const [red, green, blue] = getComputedStyle(sign).color.match(/\d+/g).map(Number);
        return { color: [red, green, blue], shape: sign.innerHTML, says: button.textContent };
      }));
      assert.equal(signs.length, 6);
      for (const [place, one] of signs.entries()) {
        assert.ok(one.says.length > 3);
        for (const other of signs.slice(place + 1)) {
          assert.notEqual(one.shape, other.shape, `${one.says}, ${other.says}`);
          const far = Math.hypot(...one.color.map((value, channel) => value - other.color[channel]));
          assert.ok(far > 60, `${one.says} is ${one.color}, ${other.says} ${other.color}`);
        }
      }
    }
  }),

  a_million_records_are_drawn_and_walked_through: live(async ({ open }) => {
    const page = await open();
    await leader(page);
    const seen = await page.evaluate(async () => {
      const { Diagram } = await import('/diagram.js');
      const element = document.createElement('div');
      element.style.cssText = 'width:1200px;height:400px';
      document.body.append(element);
      const diagram = new Diagram(element);
      for (let part = 0; part < 100; part++) {
        const records = [];
        for (let place = 0; place < 5_000; place++) {
          const sequence = part * 5_000 + place;
          const [node, to] = [`n${1 + (sequence % 5)}`, `n${1 + ((sequence + 1) % 5)}`];
          const record = { sequence, term: 1, kind: 'append', index: sequence, count: 1 };
          records.push({ ...record, time_ns: sequence * 1e5, node, event: 'sent', to });
          records.push({ ...record, time_ns: sequence * 1e5 + 3e5, node: to, event: 'received', from: node });
        }
        diagram.push(records);
      }
      diagram.fit();
      diagram.draw();
      const all = diagram.canvas.getAttribute('aria-label');
      diagram.show(0.99995e9, 1.002e9);
      diagram.draw();
      diagram.step(1);
      return { count: diagram.model.count, all, near: diagram.canvas.getAttribute('aria-label'), selected: diagram.selected };
    });
    assert.equal(seen.count, 1_000_000);
    assert.match(seen.all, /5 servers/);
    assert.match(seen.near, /2[0-9] messages/);
    assert.equal(seen.selected, 10_000);
  }),

  a_page_without_the_token_is_refused: live(async ({ url, open }) => {
    const page = await open();
    await leader(page);
    const base = new URL(url).origin;
    assert.equal((await fetch(base)).status, 403);
    assert.equal((await fetch(`${base}/events?token=0`)).status, 403);
    const line = { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: '{"line":"crash all"}' };
    assert.equal((await fetch(`${url.replace('/?', '/line?')}`, line)).status, 403, 'no Origin');
    line.headers.Origin = 'http://evil.example';
    assert.equal((await fetch(`${url.replace('/?', '/line?')}`, line)).status, 403, 'a foreign page');
    line.headers.Origin = base;
    assert.equal((await fetch(`${base}/line?token=0`, line)).status, 403, 'another token');
    assert.equal(await page.$$eval('.card.down', (cards) => cards.length), 0);
  }),

  a_server_in_production_shows_itself_and_no_more: async (browser) => {
    const server = await serve(browser, 1);
    try {
      const page = await server.open();
      await says(page, '#state', 'n1 leads term');
      await page.waitForSelector('.card.leader[aria-label=n1]');
      assert.equal(await page.$$eval('.card button', (buttons) => buttons.length), 0, 'nothing can be done');
      assert.equal(await page.isVisible('#line'), false);
      assert.deepEqual(server.troubles, []);
      const foreign = await server.ask('/console/', 'evil.example');
      assert.match(foreign, /^HTTP\/1.1 403/);
    } finally {
      for (const context of browser.contexts()) await context.close();
      await server.end();
    }
  },

  a_console_speaks_the_language_of_the_browser_or_of_the_address: async (browser) => {
    const server = await serve(browser, 1);
    try {
      for (const [wanted, words] of [
        [{ locale: 'pt-BR' }, 'n1 lidera o mandato'], [{ hash: '/?lang=pt' }, 'n1 lidera o mandato'],
        [{ locale: 'de-DE' }, 'n1 leads term'], [{ locale: 'pt-BR', hash: '/?lang=en' }, 'n1 leads term'],
      ]) {
        const page = await server.open(wanted);
        await says(page, '#state', words);
        const portuguese = words.includes('lidera');
        assert.equal(await page.getAttribute('html', 'lang'), portuguese ? 'pt-BR' : 'en');
        assert.equal(await page.textContent('#logs .key:nth-child(2)'), portuguese ? '1efetivada' : '1committed');
        await page.close();
      }
      assert.deepEqual(server.troubles, []);
    } finally {
      for (const context of browser.contexts()) await context.close();
      await server.end();
    }
  },

  a_console_shows_the_messages_and_logs_of_all_members: async (browser) => {
    const cluster = await serve(browser, 3);
    try {
      const page = await cluster.open();
      const old = await leader(page);
      await page.waitForFunction(() => document.querySelectorAll('.card').length === 3);
      for (const [place, value] of [8, 9].entries()) await send(cluster.addresses[place], `SET d ${value}\r\n`);
      // Whoever looks later sees the same: all logs are equal, and committed.
      await page.waitForFunction(() => {
        const rows = [...document.querySelectorAll('#grid tbody tr')].map((row) => [...row.children].slice(1));
        return rows.length === 3 && rows[0].length > 2 && rows.every((cells) => cells.every((cell) => cell.className.includes('committed')));
      });
      // The picture is a second behind the logs: it has to come where they are.
      const end = (after) => Math.max(0, Number(document.querySelector('#diagram canvas').getAttribute('aria-label').match(/to \+([\d.]+) s/)[1]) - after);
      const then = await page.evaluate(end, 0);
      await page.waitForFunction(end, then + 1.5);
      await page.evaluate(() => document.activeElement.blur());
      await page.keyboard.press(' ');
      // What is the latest may still be under way, as far as the receiver has told.
      const told = await find(page, 'AppendEntries accepted', /arrived [\d.]+ (µs|ms) later/);
      assert.match(told, /counts for the majority/);
      await page.keyboard.press(' ');
      // One that does not answer keeps nobody waiting, and what it was sent is lost.
      const dead = old.name === 'n1' ? 'n3' : old.name;
      await cluster.stop(dead);
      await page.waitForSelector(`.card.silent[aria-label=${dead}]`);
      await says(page, '#links', `no answer from ${dead}`);
      await leader(page, dead);
      await says(page, '#grid', 'does not answer');
      assert.deepEqual(cluster.troubles, [], 'no error in the console, no request to another host');
    } finally {
      for (const context of browser.contexts()) await context.close();
      await cluster.end();
    }
  },
};
