// etcd3 in JavaScript while auth is on: root:all may everything, app:some what begins with app/.

import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { Etcd3, Range, EtcdAuthenticationFailedError, EtcdPermissionDeniedError } from 'etcd3';

const hosts = process.env.ENDPOINTS.split(',').map(endpoint => `http://${endpoint}`);
const clients = [];

function as(username, password) {
  const client = new Etcd3({ hosts, ...(username && { auth: { username, password } }) });
  clients.push(client);
  return client;
}
after(() => clients.forEach(client => client.close()));

test('nobody gets nothing', async () => {
  await assert.rejects(as().get('app/a').string(), /user name is empty/);
});

test('a wrong password is refused', async () => {
  await assert.rejects(as('app', 'wrong').get('app/a').string(), EtcdAuthenticationFailedError);
});

test('a user may what its role permits', async () => {
  const client = as('app', 'some');
  await client.put('app/a').value('1');
  assert.equal(await client.get('app/a').string(), '1');
  assert.deepEqual(await client.getAll().prefix('app/a').keys(), ['app/a']);
  await assert.rejects(client.put('other').value('1'), EtcdPermissionDeniedError);
  await assert.rejects(client.getAll().keys(), EtcdPermissionDeniedError);
  const both = client.if('app/b', 'Version', '==', 0).then(client.put('app/b').value('1'), client.put('other').value('1'));
  await assert.rejects(both.commit(), EtcdPermissionDeniedError);
  assert.equal(await client.get('app/b'), null);
});

test('a user watches what it may read', async () => {
  const client = as('app', 'some');
  const watcher = await client.watch().key('app/w').create();
  const told = new Promise(done => watcher.on('put', kv => done(kv.value.toString())));
  const lease = client.lease(60);
  await lease.put('app/w').value('1');
  assert.equal(await told, '1');
  await lease.revoke();
  await watcher.cancel();
});

test('users and roles are managed by root', async () => {
  const root = as('root', 'all');
  const user = await root.user('new').create('secret');
  const role = await root.role('few').create();
  await role.grant({ permission: 'Read', range: Range.prefix('few/') });
  await user.addRole('few');
  assert.deepEqual((await user.roles()).map(each => each.name), ['few']);
  const client = as('new', 'secret');
  assert.equal(await client.get('few/a'), null);
  await assert.rejects(client.put('few/a').value('1'), EtcdPermissionDeniedError);
  await assert.rejects(client.user('more').create('x'), EtcdPermissionDeniedError);
  await user.delete();
  await role.delete();
});

test('a token that has ended is renewed', async () => {
  const root = as('root', 'all');
  const client = as('app', 'some');
  await client.put('app/a').value('before');
  await root.auth.authDisable();
  // Whoever shows a token that has ended is refused, and nobody can log in now: it is switched on by nobody.
  await as().auth.authEnable();
  await client.put('app/a').value('after');
  assert.equal(await client.get('app/a').string(), 'after');
});
