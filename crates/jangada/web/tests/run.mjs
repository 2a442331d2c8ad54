// The page's tests, in a real browser: `npm ci && npm test` in this folder, after `cargo build`.
// JANGADA names the program, CHROMIUM the browser. Ends with a line as that of `cargo test`.

import { browse } from './lab.mjs';
import { tests } from './page.mjs';
import { timeline } from './timeline.mjs';

const wanted = process.argv.slice(2);
const chosen = Object.entries({ ...tests, ...timeline }).filter(([name]) => !wanted.length || wanted.some((part) => name.includes(part)));
const failures = [];
console.log(`running ${chosen.length} tests`);
const browser = await browse();
for (const [name, test] of chosen) {
  try {
    await test(browser);
    console.log(`test ${name} ... ok`);
  } catch (error) {
    failures.push(name);
    console.log(`test ${name} ... FAILED\n${error.stack}\n${error.seen ?? ''}`);
  }
}
await browser.close();
console.log(`test result: ${failures.length ? 'FAILED' : 'ok'}. ${chosen.length - failures.length} passed; ${failures.length} failed; 0 ignored; 0 measured`);
process.exitCode = failures.length ? 1 : 0;
