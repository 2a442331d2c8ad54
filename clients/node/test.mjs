// etcd3, a client in JavaScript over gRPC, against a cluster whose client ports are in ENDPOINTS (host:port,host:port).

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Etcd3 } from 'etcd3';

const hosts = process.env.ENDPOINTS.split(',').map(endpoint => `http://${endpoint}`);
let client;

before(async () => {
  client = new Etcd3({ hosts });
  await client.delete().prefix('n/');
});
after(() => client.close());

test('values are put, got and deleted', async () => {
  await client.put('n/a').value('1');
  assert.equal(await client.get('n/a').string(), '1');
  await client.put('n/bytes').value(Buffer.from([0, 255]));
  assert.deepEqual(await client.get('n/bytes').buffer(), Buffer.from([0, 255]));
  const { deleted } = await client.delete().key('n/a');
  assert.equal(deleted, '1');
  assert.equal(await client.get('n/a'), null);
});

test('ranges are sorted and limited', async () => {
  for (const key of ['b', 'a', 'c']) await client.put(`n/r/${key}`).value(key);
  const found = await client.getAll().prefix('n/r/').sort('Key', 'Descend').limit(2).keys();
  assert.deepEqual(found, ['n/r/c', 'n/r/b']);
});

test('transactions compare and decide', async () => {
  await client.put('n/t').value('1');
  const yes = await client.if('n/t', 'Value', '==', '1').then(client.put('n/t').value('2')).commit();
  const no = await client.if('n/t', 'Value', '==', '1').then(client.put('n/t').value('3')).commit();
  assert.deepEqual([yes.succeeded, no.succeeded], [true, false]);
  assert.equal(await client.get('n/t'), '2');
});

test('a watch is told what happens, in order', async () => {
  const watcher = await client.watch().prefix('n/w/').create();
  const told = [];
  const all = new Promise(done => {
    const tell = what => { if (told.push(what) === 3) done(); };
    watcher.on('put', kv => tell(kv.value.toString()));
    watcher.on('delete', () => tell('deleted'));
  });
  await client.put('n/w/a').value('1');
  await client.put('n/w/a').value('2');
  await client.delete().key('n/w/a');
  await all;
  assert.deepEqual(told, ['1', '2', 'deleted']);
  await watcher.cancel();
});

test('a lease takes its keys with it', async () => {
  const lease = client.lease(60);
  await lease.put('n/l').value('1');
  assert.equal((await lease.keepaliveOnce()).TTL, '60');
  await lease.revoke();
  assert.equal(await client.get('n/l'), null);
});

test('a lock is held by one', async () => {
  const lock = client.lock('n/lock');
  await lock.acquire();
  await assert.rejects(client.lock('n/lock').acquire());
  await lock.release();
  await client.lock('n/lock').do(async () => {});
});

test('one is elected, and others see who', async () => {
  const election = client.election('n/election', 30);
  const campaign = election.campaign('me');
  await new Promise(resolve => campaign.on('elected', resolve));
  assert.equal(await client.election('n/election').leader(), 'me');
  await campaign.resign();
});
