// A recording as a page of its own, opened from a file: zoom, move, filter, select a message and read it.

import assert from 'node:assert/strict';
import { saved } from './lab.mjs';

/** A leader is crashed, another one is cut off with a follower, and messages get lost. */
export const STORY = ['wait leader', 'set d 8', 'crash leader', 'wait leader', 'set raft log', 'restart 1', 'run 100ms', 'isolate 2 4', 'run 900ms',
  'heal', 'lose 20%', 'run 300ms', 'lose 0%', 'run 300ms', 'set sea sand', 'run 100ms'];

function withRecording(test, story = STORY) {
  return async (browser) => {
    const recording = await saved(browser, story);
    try {
      const page = await recording.open();
      await page.waitForSelector('body[data-state=ready]');
      await test(page, recording);
      assert.deepEqual(recording.troubles, [], 'no error in the console, no request to anybody');
    } finally {
      for (const context of browser.contexts()) await context.close();
      await recording.end();
    }
  };
}

/** What the canvas says of itself: from when to when, in seconds, and how many messages. */
async function shown(page) {
  await page.evaluate(() => new Promise((done) => { requestAnimationFrame(() => requestAnimationFrame(done)); }));
  const label = await page.getAttribute('#diagram canvas', 'aria-label');
  const [, from, to, messages] = label.match(/from \+(-?[\d.]+) s to \+([\d.]+) s, (\d+) messages/).map(Number);
  return { from, to, wide: to - from, messages };
}

/** Walks back through the messages, from the last one that is shown, to one whose text has this in it. */
async function find(page, wanted) {
  for (let steps = 0; steps < 2000; steps++) {
    await page.keyboard.press('[');
    const told = await page.textContent('#told');
    if (wanted.test(told)) return told;
  }
  throw new Error(`no ${wanted} among the messages`);
}

export const timeline = {
  quiet_times_are_folded_or_drawn_evenly: withRecording(async (page) => {
    const button = page.locator('[data-act=folds]');
    const picture = () => page.$eval('#diagram canvas', (canvas) => canvas.toDataURL());
    assert.equal(await button.getAttribute('aria-pressed'), 'true');
    const all = await shown(page);
    const folded = await picture();
    await page.keyboard.press('ArrowRight');
    const later = await shown(page);
    assert.ok(later.from > all.from && later.to > all.to, `${later.from} to ${later.to}`);
    await page.keyboard.press('+');
    const near = await shown(page);
    assert.ok(near.from > later.from && near.to < later.to, `${near.from} to ${near.to}`);
    await page.keyboard.press('0');
    await button.click();
    assert.equal(await button.getAttribute('aria-pressed'), 'false');
    await shown(page);
    assert.notEqual(await picture(), folded);
  }),

  a_saved_recording_is_zoomed_and_moved: withRecording(async (page) => {
    await page.click('[data-act=folds]');
    const all = await shown(page);
    assert.ok(all.messages > 50, `${all.messages} messages`);
    await page.click('[data-act=in]');
    const near = await shown(page);
    assert.ok(Math.abs(near.wide - all.wide / 2) < 0.02 * all.wide, `${near.wide} of ${all.wide}`);
    await page.keyboard.press('ArrowRight');
    const later = await shown(page);
    assert.ok(later.from > near.from && Math.abs(later.wide - near.wide) < 0.01);
    const canvas = await page.locator('#diagram canvas').boundingBox();
    const [x, y] = [canvas.x + canvas.width / 2, canvas.y + canvas.height / 2];
    await page.mouse.move(x, y);
    await page.mouse.wheel(0, -400);
    await page.waitForFunction((wide) => {
      const [, from, to] = document.querySelector('#diagram canvas').getAttribute('aria-label').match(/from \+(-?[\d.]+) s to \+([\d.]+)/);
      return to - from < wide * 0.9;
    }, later.wide);
    const close = await shown(page);
    await page.mouse.down();
    await page.mouse.move(x - 200, y, { steps: 4 });
    await page.mouse.up();
    const dragged = await shown(page);
    assert.ok(dragged.from > close.from, 'dragged to the left: later is seen');
    await page.keyboard.press('0');
    const again = await shown(page);
    assert.ok(Math.abs(again.wide - all.wide) < 0.1 * all.wide, 'all of it again');
  }),

  a_saved_recording_is_filtered: withRecording(async (page) => {
    const all = await shown(page);
    await page.click('#legend button:text("votes")');
    const without = await shown(page);
    assert.ok(without.messages < all.messages, `${without.messages} of ${all.messages}`);
    await page.click('#legend button:text("votes")');
    assert.equal((await shown(page)).messages, all.messages);
    await page.click('#legend button:text("heartbeats")');
    assert.ok((await shown(page)).messages > all.messages);
  }),

  a_campaign_in_vain_is_folded: withRecording(async (page) => {
    const titles = async () => {
      const all = [];
      for (let last = null; ;) {
        await page.keyboard.press('[');
        const title = await page.textContent('#told');
        if (title === last) return all.filter((told) => told.startsWith('PreVote  n4')).length;
        all.push(last = title);
      }
    };
    assert.equal(await titles(), 4, 'asked once, of each of the others');
    const folded = await shown(page);
    await page.click('#legend button:text("heartbeats")');
    assert.ok((await shown(page)).messages > folded.messages + 100, 'all of it can be seen');
  }, ['wait leader', 'isolate 4', 'run 2s']),

  a_message_of_a_saved_recording_is_selected_and_read: withRecording(async (page) => {
    const told = await find(page, /^RequestVote  n/);
    assert.match(told, /stands for election in term \d+/);
    assert.match(told, /paper §5\.2/);
    assert.match(await find(page, /the link n\d → n\d was cut/), /lost/);
    assert.match(await find(page, /lost: n1 was down/), /n1/);
    // By hand: what lies under the pointer.
    await page.keyboard.press('0');
    const box = await page.locator('#diagram canvas').boundingBox();
    const title = () => page.$eval('#told', (told) => told.querySelector('h2')?.textContent ?? null);
    const before = await title();
    let selected = before;
    for (let x = 140; x < box.width && [null, before].includes(selected); x += 15) {
      await page.mouse.click(box.x + x, box.y + box.height / 2);
      selected = await title();
    }
    assert.ok(selected && selected !== before, 'a click selects what is there');
  }),

  a_saved_recording_fits_a_desk_and_a_telephone_light_and_dark: withRecording(async (first, { open }) => {
    for (const [width, height, scheme] of [[1280, 800, 'light'], [1280, 800, 'dark'], [390, 844, 'light'], [390, 844, 'dark']]) {
      const page = await open({ width, height, scheme });
      await page.waitForSelector('body[data-state=ready]');
      const size = await page.evaluate(() => [document.documentElement.scrollWidth, document.documentElement.scrollHeight]);
      assert.ok(size[0] <= width && size[1] <= height, `${size} on ${width}x${height}`);
      const diagram = await page.locator('#diagram').boundingBox();
      assert.ok(diagram.height > height * 0.4, `${diagram.height} of ${height} for the picture`);
      const paper = await page.$eval('#diagram canvas', (canvas) => canvas.getContext('2d').getImageData(canvas.width - 3, canvas.height - 3, 1, 1).data[0]);
      assert.equal(paper > 128, scheme === 'light', 'the diagram is as light as the page');
    }
  }),
};
