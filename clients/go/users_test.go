// The same client while auth is on: root:all may everything, app:some what begins with app/.
package clients

import (
	"testing"

	"go.etcd.io/etcd/clientv3"
	"go.etcd.io/etcd/etcdserver/api/v3rpc/rpctypes"
)

func TestUsersNobodyGetsNothing(t *testing.T) {
	client, ctx := connect(t, "", "")
	_, err := client.Get(ctx, "app/a")
	same(t, err, rpctypes.ErrUserEmpty)
}

func TestUsersAWrongPasswordIsRefused(t *testing.T) {
	_, err := clientv3.New(clientv3.Config{
		Endpoints: endpoints, DialTimeout: patience, Username: "app", Password: "wrong",
	})
	same(t, err, rpctypes.ErrAuthFailed)
}

func TestUsersMayWhatTheirRolesPermit(t *testing.T) {
	client, ctx := connect(t, "app", "some")
	_, err := client.Put(ctx, "app/a", "1")
	must(t, err)
	found, err := client.Get(ctx, "app/", clientv3.WithPrefix())
	must(t, err)
	same(t, string(found.Kvs[0].Key), "app/a")
	_, err = client.Put(ctx, "other", "1")
	same(t, err, rpctypes.ErrPermissionDenied)
	_, err = client.Get(ctx, "", clientv3.WithPrefix())
	same(t, err, rpctypes.ErrPermissionDenied)
	_, err = client.Txn(ctx).Then(clientv3.OpPut("app/b", "1"), clientv3.OpGet("other")).Commit()
	same(t, err, rpctypes.ErrPermissionDenied)
	found, err = client.Get(ctx, "app/b")
	must(t, err)
	same(t, found.Count, 0)
	_, err = client.UserAdd(ctx, "somebody", "x")
	same(t, err, rpctypes.ErrPermissionDenied)
}

func TestUsersWatchWhatTheyMayRead(t *testing.T) {
	client, ctx := connect(t, "app", "some")
	told := client.Watch(ctx, "app/", clientv3.WithPrefix(), clientv3.WithCreatedNotify())
	same(t, (<-told).Created, true)
	lease, err := client.Grant(ctx, 60)
	must(t, err)
	_, err = client.Put(ctx, "app/w", "1", clientv3.WithLease(lease.ID))
	must(t, err)
	same(t, string((<-told).Events[0].Kv.Value), "1")
	_, err = client.KeepAliveOnce(ctx, lease.ID)
	must(t, err)
	_, err = client.Revoke(ctx, lease.ID)
	must(t, err)
	same(t, (<-told).Events[0].Type, clientv3.EventTypeDelete)
	refused := <-client.Watch(ctx, "other")
	same(t, refused.Canceled, true)
}

func TestUsersAreManagedByRoot(t *testing.T) {
	root, ctx := connect(t, "root", "all")
	_, err := root.UserAdd(ctx, "new", "secret")
	must(t, err)
	_, err = root.UserGrantRole(ctx, "new", "app")
	must(t, err)
	user, err := root.UserGet(ctx, "new")
	must(t, err)
	same(t, user.Roles, "[app]")
	client, ctx := connect(t, "new", "secret")
	_, err = client.Put(ctx, "app/a", "of the new one")
	must(t, err)
	_, err = root.UserChangePassword(ctx, "new", "another")
	must(t, err)
	// Its token has ended, and its password is none any more.
	_, err = client.Put(ctx, "app/a", "too late")
	same(t, err, rpctypes.ErrAuthFailed)
	_, err = root.UserDelete(ctx, "new")
	must(t, err)
}

func TestUsersGetAnotherTokenWhenTheirsHasEnded(t *testing.T) {
	root, ctx := connect(t, "root", "all")
	client, _ := connect(t, "app", "some")
	_, err := client.Put(ctx, "app/a", "before")
	must(t, err)
	_, err = root.AuthDisable(ctx)
	must(t, err)
	// Whoever shows a token that has ended is refused, and nobody can log in now: it is switched on by nobody.
	nobody, _ := connect(t, "", "")
	_, err = nobody.AuthEnable(ctx)
	must(t, err)
	_, err = client.Put(ctx, "app/a", "after")
	must(t, err)
	found, err := client.Get(ctx, "app/a")
	must(t, err)
	same(t, string(found.Kvs[0].Value), "after")
}
