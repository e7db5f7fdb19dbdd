package e2e_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/clusterlite/clusterlite/e2e/cluster"
	"github.com/clusterlite/clusterlite/e2e/suite"
)

// An acknowledgedWrite is a write to which a client got a successful response.
type acknowledgedWrite struct {
	id       string
	version  int64
	position int64
	at       time.Time
}

// snapshotList is what snapshot list prints.
type snapshotList struct {
	Snapshots []struct {
		Name     string
		Position int64
		StoredAt time.Time `json:"stored_at"`
	}
}

// TestDrill loses the brokers, all nodes and all their disks, and restores the store from the
// snapshots alone, as docs/how-to/restore-everything.md says. Everything that was acknowledged
// before the snapshot is back. It does the same with an export, and for clusterlite serve.
func TestDrill(t *testing.T) {
	wanted(t, "drill")
	dir := t.TempDir()
	backups, export := filepath.Join(dir, "backups"), filepath.Join(dir, "store.jsonl.zst")
	writes, lost := loseEverything(t, backups, export)

	to := cluster.Serve(t)
	newest := newestSnapshot(t, to, backups)
	page := filepath.Join(howTo, "restore-everything.md")
	reads, admin := cluster.Address(t), cluster.Address(t)
	here := strings.NewReplacer(
		"127.0.0.1:19092", to.Brokers, "/backups", backups, "/var/lib/clusterlite-serve", filepath.Join(dir, "serve"), "/var/lib/clusterlite", filepath.Join(dir, "data"),
		"127.0.0.1:8081", cluster.Address(t), "127.0.0.1:9081", cluster.Address(t), "127.0.0.1:8082", reads, "127.0.0.1:9082", admin,
	)
	env := os.Environ()

	began := time.Now()
	out := runAll(t, t.TempDir(), env, here.Replace(marked(t, page, "drill")))
	took := time.Since(began)
	for _, said := range []string{"can be restored", "and gives the same rows", "Equal: 2 of 2 nodes"} {
		if !strings.Contains(out, said) {
			t.Errorf("got an output without %q:\n%s", said, out)
		}
	}
	missing := restored(t, "http://"+reads, writes, newest.Position)
	fmt.Printf("drill, from a snapshot: recovery point %s before the loss (%d of %d acknowledged writes came later), recovery time %s\n",
		lost.Sub(newest.StoredAt).Round(time.Millisecond), missing, len(writes), took.Round(time.Millisecond))

	began = time.Now()
	out = runAll(t, dir, env, here.Replace(marked(t, page, "drill from an export")))
	if !strings.Contains(out, "equal") {
		t.Errorf("got the output\n%s\nwant that the digests are equal", out)
	}
	fmt.Printf("drill, from an export: imported and compared in %s\n", time.Since(began).Round(time.Millisecond))

	runAll(t, t.TempDir(), env, here.Replace(marked(t, page, "drill of serve")))
	p := cluster.ServeWith(t, map[string]string{"CLUSTERLITE_DATA_DIR": filepath.Join(dir, "serve")})
	p.Start()
	p.AwaitReady()
	restored(t, p.URL, writes, newest.Position)
	suite.Target{URL: p.URL}.Create(t, "after the drill")
}

// loseEverything runs a store with scheduled snapshots and a client that writes, and kills and
// deletes all of it, except the snapshots and an export. It returns the acknowledged writes and
// the time of the loss.
func loseEverything(t *testing.T, backups, export string) (writes []acknowledgedWrite, lost time.Time) {
	t.Helper()
	from := cluster.Serve(t)
	peer := from.AddQuery()
	peer.Start()
	peer.AwaitReady()
	importUsers(t, from.URL, 500)
	schedule := from.Tool(t, "clusterlite.events", "snapshot", "create", backups, "--schedule", "1s", "--keep", "2")
	schedule.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := schedule.Start(); err != nil {
		t.Fatal(err)
	}
	target := suite.Target{URL: from.URL}
	write := func() {
		t.Helper()
		r := target.Do(t, "POST", "/users", suite.UserBody("Ada", suite.Email())).Want(t, 201)
		a := acknowledgedWrite{r.Entity(t).ID, 1, r.Position(t), time.Now()}
		if len(writes)%3 == 0 { // some are changed later
			r = target.Do(t, "PATCH", "/users/"+a.id, `{"name":"Grace"}`, "Content-Type: application/merge-patch+json").Want(t, 200)
			a.version, a.position, a.at = 2, r.Position(t), time.Now()
		}
		writes = append(writes, a)
	}
	write()
	after := writes[0].position
	for end := time.Now().Add(2 * time.Minute); ; {
		write()
		if s := newestIn(t, from, backups); len(s.Snapshots) > 1 && s.Snapshots[0].Position >= after+20 {
			break
		}
		if time.Now().After(end) {
			t.Fatal("got no snapshot of the writes within two minutes")
		}
	}
	var exported struct{ Events int64 }
	result(t, from.Tool(t, "clusterlite.events", "events", "export", "--out", export, "--output", "json"), &exported)
	for range 5 {
		write()
	}

	_ = schedule.Process.Kill() // it may be in the middle of a snapshot
	_ = schedule.Wait()
	lost = time.Now()
	for _, p := range from.Processes() {
		p.Kill()
		if err := os.RemoveAll(p.DataDir()); err != nil {
			t.Fatal(err)
		}
	}
	return writes, lost
}

// newestIn lists the snapshots in a store that may not exist yet.
func newestIn(t *testing.T, c *cluster.Cluster, store string) (all snapshotList) {
	t.Helper()
	out, err := c.Tool(t, "", "snapshot", "list", store, "--output", "json").Output()
	if err == nil {
		err = json.Unmarshal(out, &all)
	}
	if err != nil {
		return snapshotList{}
	}
	return all
}

func newestSnapshot(t *testing.T, c *cluster.Cluster, store string) (s struct {
	Name     string
	Position int64
	StoredAt time.Time `json:"stored_at"`
},
) {
	t.Helper()
	all := newestIn(t, c, store)
	if len(all.Snapshots) == 0 {
		t.Fatal("got an empty store, want snapshots")
	}
	return all.Snapshots[0]
}

// restored checks that the writes up to a position are there, and returns how many came later.
func restored(t *testing.T, url string, writes []acknowledgedWrite, position int64) (later int) {
	t.Helper()
	for _, w := range writes {
		if w.position > position {
			later++
			continue
		}
		e := (suite.Target{URL: url}).Do(t, "GET", "/users/"+w.id, "").Want(t, 200).Entity(t)
		if e.Version != w.version || (w.version == 2) != (e.Name == "Grace") {
			t.Errorf("%s: got version %d and the name %s, want version %d", w.id, e.Version, e.Name, w.version)
		}
	}
	if later == len(writes) {
		t.Errorf("got %d writes after the snapshot, want some before", later)
	}
	return later
}
