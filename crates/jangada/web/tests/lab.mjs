// A laboratory with its page, and a browser that looks at it.

import { spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { chromium } from 'playwright-core';

const BINARY = process.env.JANGADA ?? new URL('../../../../target/debug/jangada', import.meta.url).pathname;
const CHROMIUM = process.env.CHROMIUM ?? '/usr/bin/chromium';
const FLAGS = ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync'];
/** Where the first laboratory looks for ports; if they are taken, it takes the next ones. */
const PORTS = process.env.JANGADA_TEST_PORTS ?? '24000';

/** A browser. */
export function browse() {
  return chromium.launch({ executablePath: CHROMIUM, args: FLAGS });
}

/** A program of ours in a folder of its own, and what it says on stderr that fits, once it does. */
async function run(args, wanted) {
  const dir = await mkdtemp(join(tmpdir(), 'jangada-page-'));
  const child = spawn(BINARY, args, { cwd: dir, stdio: ['pipe', 'ignore', 'pipe'] });
  const ended = new Promise((done) => { child.on('exit', done); });
  const found = await new Promise((resolve, reject) => {
    let said = '';
    child.stderr.on('data', (data) => {
      said += data;
      const match = said.match(wanted);
      if (match) resolve(match[1]);
    });
    child.on('error', reject);
    child.on('exit', () => reject(new Error(`it ended: ${said}`)));
  });
  const end = async () => {
    child.stdin.end();
    child.kill('SIGTERM');
    await ended;
    await rm(dir, { recursive: true, force: true });
  };
  return { found, end, stand: () => child.kill('SIGSTOP'), go: () => child.kill('SIGCONT') };
}

/** The page of a recording: what a made-up laboratory did with these lines, as `timeline to FILE` saves it. */
export async function saved(browser, lines, name = 'run.html') {
  const dir = await mkdtemp(join(tmpdir(), 'jangada-timeline-'));
  const child = spawn(BINARY, ['lab', '--sim', '--seed', '7'], { cwd: dir, stdio: ['pipe', 'ignore', 'pipe'] });
  child.stdin.end(`${[...lines, `timeline last 60s to ${name}`].join('\n')}\n`);
  let said = '';
  child.stderr.on('data', (data) => { said += data; });
  const code = await new Promise((done) => { child.on('exit', done); });
  if (code !== 0) throw new Error(`exit code ${code}: ${said}`);
  const end = () => rm(dir, { recursive: true, force: true });
  return { ...opener(browser, pathToFileURL(join(dir, name)).href), end };
}

/** Opens pages of this address, and notes what troubles them. */
function opener(browser, url) {
  const troubles = [];
  const open = async ({ hash = '', width = 1280, height = 800, scheme = 'light', locale = 'en-US' } = {}) => {
    const page = await browser.newPage({ viewport: { width, height }, colorScheme: scheme, locale });
    const { host, href } = new URL(url);
    page.on('console', (message) => { if (['error', 'warning'].includes(message.type())) troubles.push(message.text()); });
    page.on('pageerror', (error) => troubles.push(String(error)));
    page.on('request', (request) => {
      const to = new URL(request.url());
      // A page out of a file asks nobody for anything, not even for other files.
      const own = host ? to.host === host : to.href === href;
      if (!['data:', 'blob:'].includes(to.protocol) && !own) troubles.push(`a request to ${request.url()}`);
    });
    await page.goto(url + hash);
    return page;
  };
  return { open, troubles };
}

/** A laboratory that ends with `end()`. Its input stays open, so that it lives. */
export async function openLab(browser, args = []) {
  const { found: url, ...program } = await run(['lab', '--page', '--ports', PORTS, ...args], /(http:\/\/\S+token=\S+)/);
  return { ...opener(browser, url), url, ...program };
}

/** A port that nobody uses now. */
function freePort() {
  return new Promise((done, failed) => {
    const server = createServer();
    server.on('error', failed);
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address();
      server.close(() => done(port));
    });
  });
}

/** Servers as in production, n1 and so on, and the console of the first. `stop(name)` ends one of them. */
export async function serve(browser, count) {
  const names = Array.from({ length: count }, (_, place) => `n${place + 1}`);
  const ports = await Promise.all([...names, ...names].map(freePort));
  const at = (place) => `127.0.0.1:${ports[place]}`;
  const peers = names.map((name, place) => `${name}=${at(place)}`).join(',');
  const servers = await Promise.all(names.map((name, place) => run(['serve', '--name', name, '--data-dir', 'data', '--listen-client', at(count + place),
    '--listen-peer', at(place), ...(count > 1 ? ['--peers', peers] : [])], /clients on (127\.0\.0\.1:\d+)/)));
  const address = servers[0].found;
  const [host, port] = address.split(':');
  const stop = (name) => servers[names.indexOf(name)].end();
  const end = () => Promise.all(servers.map((server) => server.end()));
  const ask = (path, name) => new Promise((done, failed) => {
    const socket = connect(Number(port), host, () => socket.write(`GET ${path} HTTP/1.1\r\nHost: ${name}\r\nConnection: close\r\n\r\n`));
    let text = '';
    socket.on('data', (data) => { text += data; });
    socket.on('end', () => done(text));
    socket.on('error', failed);
  });
  return { ...opener(browser, `http://${address}/console`), addresses: servers.map(({ found }) => found), ask, stop, end };
}

/** Types a line at the page's prompt. */
export async function type(page, line) {
  await page.fill('#line', line);
  await page.press('#line', 'Enter');
}

/** Waits for a leader; who it is, and in which term. */
export async function leader(page, not = '') {
  await page.waitForFunction((other) => {
    const card = document.querySelector('.card.leader');
    return card && document.querySelector('#state.leader') && card.getAttribute('aria-label') !== other;
  }, not, { timeout: 30_000 });
  return page.$eval('.card.leader', (card) => ({
    name: card.getAttribute('aria-label'), term: Number(card.querySelector('.term').textContent.slice(1)),
  }));
}

/** What the log grid says of an entry, once it is there: `{column, cells}`. */
export async function entry(page, text, committed = 0) {
  const found = await page.waitForFunction(([wanted, least]) => {
    const heads = [...document.querySelectorAll('#grid thead th')];
    const column = heads.findIndex((head) => head.textContent.includes(wanted));
    if (column < 0) return null;
    const cells = [...document.querySelectorAll('#grid tbody tr')].map((row) => row.children[column]?.className ?? '');
    return cells.filter((name) => name.includes('committed')).length >= least ? { column, cells } : null;
  }, [text, committed], { timeout: 30_000 });
  return found.jsonValue();
}
