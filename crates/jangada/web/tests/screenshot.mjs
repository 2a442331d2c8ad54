// Makes the README's picture: `node screenshot.mjs ../../../../docs/lab.png`, after `cargo build`. Further arguments:
// width, height, `dark`.

import { browse, entry, leader, openLab, type } from './lab.mjs';

const [file = 'lab.png', width = '1280', height = '800', scheme = 'light'] = process.argv.slice(2);
const browser = await browse();
const lab = await openLab(browser);
try {
  const page = await lab.open({ width: Number(width), height: Number(height), scheme });
  const old = await leader(page);
  for (const [key, value] of [['d', 8], ['raft', 'log'], ['sea', 'sand']]) {
    await type(page, `set ${key} ${value}`);
    await entry(page, `${key}=${value}`, 5);
  }
  const other = old.name === 'n5' ? 4 : 5;
  await type(page, `isolate ${old.name.slice(1)} ${other}`);
  await page.waitForFunction((name) => [...document.querySelectorAll('.card.leader')].some((card) => card.getAttribute('aria-label') !== name), old.name);
  await type(page, 'set wind 12');
  await entry(page, 'wind=12', 3);
  await page.waitForSelector('.card.pre_candidate');
  await page.evaluate(() => document.activeElement.blur());
  // The vote that was asked for last.
  for (let steps = 0; steps < 400; steps++) {
    await page.keyboard.press('[');
    if ((await page.textContent('#chosen')).startsWith('RequestVote  ')) break;
  }
  await page.click('#now');
  await page.waitForFunction(() => document.querySelector('#now').getAttribute('aria-pressed') === 'true');
  await page.evaluate(() => new Promise((done) => { requestAnimationFrame(() => requestAnimationFrame(done)); }));
  await page.screenshot({ path: file });
} finally {
  await browser.close();
  await lab.end();
}
