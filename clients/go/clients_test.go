// etcd's own client in Go, against a cluster whose client ports are in ENDPOINTS (host:port,host:port).
package clients

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"go.etcd.io/etcd/clientv3"
	"go.etcd.io/etcd/clientv3/concurrency"
	"go.etcd.io/etcd/etcdserver/api/v3rpc/rpctypes"
)

const patience = 20 * time.Second

var endpoints = strings.Split(os.Getenv("ENDPOINTS"), ",")

// connect gives a client of all members, and a context that ends with the test's patience.
func connect(t *testing.T, user, password string) (*clientv3.Client, context.Context) {
	t.Helper()
	client, err := clientv3.New(clientv3.Config{
		Endpoints: endpoints, DialTimeout: patience, Username: user, Password: password,
	})
	must(t, err)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(func() { cancel(); client.Close() })
	return client, ctx
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func same(t *testing.T, got, want interface{}) {
	t.Helper()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Fatalf("got %v, want %v", got, want)
	}
}

func empty(t *testing.T, prefix string) (*clientv3.Client, context.Context) {
	t.Helper()
	client, ctx := connect(t, "", "")
	_, err := client.Delete(ctx, prefix, clientv3.WithPrefix())
	must(t, err)
	return client, ctx
}

func TestValuesArePutGotAndDeleted(t *testing.T) {
	client, ctx := empty(t, "go/")
	for _, key := range []string{"b", "a", "c"} {
		_, err := client.Put(ctx, "go/"+key, strings.ToUpper(key))
		must(t, err)
	}
	backwards := clientv3.WithSort(clientv3.SortByKey, clientv3.SortDescend)
	found, err := client.Get(ctx, "go/", clientv3.WithPrefix(), backwards, clientv3.WithLimit(2))
	must(t, err)
	same(t, []interface{}{string(found.Kvs[0].Value), string(found.Kvs[1].Value), found.Count, found.More}, "[C B 3 true]")
	gone, err := client.Delete(ctx, "go/a", clientv3.WithPrevKV())
	must(t, err)
	same(t, string(gone.PrevKvs[0].Value), "A")
	old, err := client.Get(ctx, "go/a", clientv3.WithRev(gone.Header.Revision-1))
	must(t, err)
	same(t, len(old.Kvs), 1)
}

func TestTransactionsCompareAndDecide(t *testing.T) {
	client, ctx := empty(t, "go/")
	set := func() *clientv3.TxnResponse {
		answer, err := client.Txn(ctx).
			If(clientv3.Compare(clientv3.Version("go/a"), "=", 0)).
			Then(clientv3.OpPut("go/a", "1")).
			Else(clientv3.OpTxn(nil, []clientv3.Op{clientv3.OpGet("go/a")}, nil)).Commit()
		must(t, err)
		return answer
	}
	same(t, set().Succeeded, true)
	second := set()
	same(t, second.Succeeded, false)
	nested := second.Responses[0].GetResponseTxn().Responses[0].GetResponseRange()
	same(t, string(nested.Kvs[0].Value), "1")
}

func TestSoftwareTransactionsDoNotLoseWrites(t *testing.T) {
	client, ctx := empty(t, "go/")
	done := make(chan error)
	for writer := 0; writer < 4; writer++ {
		go func() {
			_, err := concurrency.NewSTM(client, func(stm concurrency.STM) error {
				stm.Put("go/sum", stm.Get("go/sum")+"1")
				return nil
			}, concurrency.WithAbortContext(ctx))
			done <- err
		}()
	}
	for writer := 0; writer < 4; writer++ {
		must(t, <-done)
	}
	sum, err := client.Get(ctx, "go/sum")
	must(t, err)
	same(t, string(sum.Kvs[0].Value), "1111")
}

func TestAWatchIsToldWhatHappensInOrder(t *testing.T) {
	client, ctx := empty(t, "go/")
	first, err := client.Put(ctx, "go/a", "0")
	must(t, err)
	told := client.Watch(ctx, "go/", clientv3.WithPrefix(), clientv3.WithPrevKV(), clientv3.WithRev(first.Header.Revision))
	for number := 1; number < 20; number++ {
		_, err := client.Put(ctx, "go/a", fmt.Sprint(number))
		must(t, err)
	}
	for number := 0; number < 20; {
		answer, ok := <-told
		same(t, []interface{}{ok, answer.Err()}, "[true <nil>]")
		for _, event := range answer.Events {
			same(t, string(event.Kv.Value), number)
			if number > 0 {
				same(t, string(event.PrevKv.Value), number-1)
			}
			number++
		}
	}
}

func TestAWatchGoesOnWhenAnotherOneLeads(t *testing.T) {
	client, ctx := empty(t, "go/")
	told := client.Watch(clientv3.WithRequireLeader(ctx), "go/", clientv3.WithPrefix(), clientv3.WithCreatedNotify())
	same(t, (<-told).Created, true)
	leader, follower := leaderAndFollower(t, client, ctx)
	atLeader, err := clientv3.New(clientv3.Config{Endpoints: []string{leader}, DialTimeout: patience})
	must(t, err)
	defer atLeader.Close()
	_, err = atLeader.MoveLeader(ctx, follower)
	must(t, err)
	_, err = client.Put(ctx, "go/a", "after")
	must(t, err)
	same(t, string((<-told).Events[0].Kv.Value), "after")
}

// leaderAndFollower tells where the leader is, and the number of somebody else.
func leaderAndFollower(t *testing.T, client *clientv3.Client, ctx context.Context) (string, uint64) {
	t.Helper()
	leader, follower := "", uint64(0)
	for _, endpoint := range endpoints {
		status, err := client.Status(ctx, endpoint)
		must(t, err)
		if status.Header.MemberId == status.Leader {
			leader = endpoint
		} else {
			follower = status.Header.MemberId
		}
	}
	return leader, follower
}

func TestACompactedRevisionIsGone(t *testing.T) {
	client, ctx := empty(t, "go/")
	old, err := client.Put(ctx, "go/a", "1")
	must(t, err)
	now, err := client.Put(ctx, "go/a", "2")
	must(t, err)
	_, err = client.Compact(ctx, now.Header.Revision)
	must(t, err)
	_, err = client.Get(ctx, "go/a", clientv3.WithRev(old.Header.Revision))
	same(t, err, rpctypes.ErrCompacted)
	told := <-client.Watch(ctx, "go/a", clientv3.WithRev(old.Header.Revision))
	same(t, []interface{}{told.Err(), told.CompactRevision}, []interface{}{rpctypes.ErrCompacted, now.Header.Revision})
}

func TestALeaseTakesItsKeysWithIt(t *testing.T) {
	client, ctx := empty(t, "go/")
	lease, err := client.Grant(ctx, 60)
	must(t, err)
	_, err = client.Put(ctx, "go/a", "1", clientv3.WithLease(lease.ID))
	must(t, err)
	alive, err := client.KeepAlive(ctx, lease.ID)
	must(t, err)
	same(t, (<-alive).TTL, 60)
	left, err := client.TimeToLive(ctx, lease.ID, clientv3.WithAttachedKeys())
	must(t, err)
	same(t, string(left.Keys[0]), "go/a")
	_, err = client.Revoke(ctx, lease.ID)
	must(t, err)
	found, err := client.Get(ctx, "go/a")
	must(t, err)
	same(t, found.Count, 0)
	_, err = client.KeepAliveOnce(ctx, lease.ID)
	same(t, err, rpctypes.ErrLeaseNotFound)
}

func TestALockIsHeldByOne(t *testing.T) {
	client, ctx := empty(t, "go/")
	mutexes := make([]*concurrency.Mutex, 2)
	for nth := range mutexes {
		session, err := concurrency.NewSession(client, concurrency.WithTTL(30))
		must(t, err)
		defer session.Close()
		mutexes[nth] = concurrency.NewMutex(session, "go/lock")
	}
	must(t, mutexes[0].Lock(ctx))
	waiting := make(chan error)
	go func() { waiting <- mutexes[1].Lock(ctx) }()
	held, err := client.Get(ctx, mutexes[0].Key())
	must(t, err)
	same(t, held.Count, 1)
	must(t, mutexes[0].Unlock(ctx))
	must(t, <-waiting)
	must(t, mutexes[1].Unlock(ctx))
}

func TestOneIsElectedAndOthersSeeWho(t *testing.T) {
	client, ctx := empty(t, "go/")
	session, err := concurrency.NewSession(client, concurrency.WithTTL(30))
	must(t, err)
	defer session.Close()
	election := concurrency.NewElection(session, "go/election")
	observed := election.Observe(ctx)
	must(t, election.Campaign(ctx, "me"))
	same(t, string((<-observed).Kvs[0].Value), "me")
	must(t, election.Proclaim(ctx, "still me"))
	leader, err := election.Leader(ctx)
	must(t, err)
	same(t, string(leader.Kvs[0].Value), "still me")
	must(t, election.Resign(ctx))
	_, err = election.Leader(ctx)
	same(t, err, concurrency.ErrElectionNoLeader)
}

func TestMembersHashesAndSnapshotsAreTold(t *testing.T) {
	client, ctx := empty(t, "go/")
	put, err := client.Put(ctx, "go/a", "1")
	must(t, err)
	members, err := client.MemberList(ctx)
	must(t, err)
	same(t, len(members.Members), len(endpoints))
	hashes := make(map[uint32]bool)
	for _, endpoint := range endpoints {
		// A member answers for what it has applied.
		for {
			status, err := client.Status(ctx, endpoint)
			must(t, err)
			if status.Header.Revision >= put.Header.Revision {
				break
			}
		}
		hash, err := client.HashKV(ctx, endpoint, put.Header.Revision)
		must(t, err)
		hashes[hash.Hash] = true
	}
	same(t, len(hashes), 1)
	snapshot, err := client.Snapshot(ctx)
	must(t, err)
	var file bytes.Buffer
	_, err = io.Copy(&file, snapshot)
	must(t, err)
	same(t, bytes.Contains(file.Bytes(), []byte("go/a")), true)
}
