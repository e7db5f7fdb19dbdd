package e2e_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/clusterlite/clusterlite/e2e/cluster"
)

// TestStores stores snapshots in buckets of emulators that implement the providers' protocols,
// and starts nodes from them.
func TestStores(t *testing.T) {
	wanted(t, "stores")
	c := cluster.Serve(t)
	importUsers(t, c.URL, 200)
	for _, provider := range []struct {
		name  string
		start func(*testing.T) bucket
	}{{"S3", startS3}, {"Google Cloud Storage", startGCS}, {"Azure Blob Storage", startAzure}} {
		t.Run(provider.name, func(t *testing.T) { keepsSnapshots(t, c, provider.start(t)) })
	}
}

// A bucket is a store of snapshots at a provider.
type bucket struct {
	place string
	env   map[string]string // the credentials and the emulator's address for the client
}

func keepsSnapshots(t *testing.T, c *cluster.Cluster, b bucket) {
	run := func(args ...string) (out []byte) {
		t.Helper()
		cmd := c.Tool(t, cluster.Topic, append([]string{"snapshot"}, args...)...)
		for name, value := range b.env {
			cmd.Env = append(cmd.Env, name+"="+value)
		}
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("snapshot %v: got %v, want success: %s%s", args, err, out, stderr.String())
		}
		return out
	}
	type snapshot struct {
		Name     string
		Position int64
	}
	list := func() []snapshot {
		t.Helper()
		var listed struct{ Snapshots []snapshot }
		if err := json.Unmarshal(run("list", b.place, "--output", "json"), &listed); err != nil {
			t.Fatal(err)
		}
		return listed.Snapshots
	}
	run("create", b.place)
	importUsers(t, c.URL, 50)
	run("create", b.place)
	both := list()
	if len(both) != 2 || both[0].Position != both[1].Position+50 {
		t.Fatalf("got the list %+v, want two snapshots that are 50 events apart", both)
	}
	run("prune", b.place, "--keep", "1")
	if left := list(); len(left) != 1 || left[0] != both[0] {
		t.Errorf("got %+v, want only the newest of %+v", left, both)
	}

	p := c.AddQuery()
	for name, value := range b.env {
		p.Set(name, value)
	}
	p.Set("CLUSTERLITE_BOOTSTRAP", b.place)
	p.Start()
	p.AwaitReady()
	for _, said := range []string{"restored a snapshot", both[0].Name} {
		if !strings.Contains(p.Output(), said) {
			t.Errorf("%s: got no %q in its output", p.Name, said)
		}
	}
	sameRows(t, c, p)

	dir := t.TempDir()
	run("restore", b.place, "--data-dir", dir)
	if _, err := os.Stat(filepath.Join(dir, "projection.db")); err != nil {
		t.Error(err)
	}
}

// emulator starts a third-party program, and waits until it answers.
func emulator(t *testing.T, address, program string, args ...string) {
	t.Helper()
	out, err := os.Create(filepath.Join(t.TempDir(), "emulator.log"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = out.Close() }() // the process has its own handle
	cmd := exec.Command(program, args...)
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it may have ended
		_ = cmd.Wait()
	})
	eventually(t, program+" answers", func() bool {
		r, err := http.Get("http://" + address)
		if err != nil {
			return false
		}
		_ = r.Body.Close()
		return true
	})
}

// installed installs a third-party Go program, and returns its path.
func installed(t *testing.T, pkg string) string {
	t.Helper()
	dir := t.TempDir()
	cmd := exec.Command("go", "install", pkg)
	cmd.Env = append(os.Environ(), "GOBIN="+dir, "GOWORK=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("install %s: %v: %s", pkg, err, out)
	}
	name, _, _ := strings.Cut(filepath.Base(pkg), "@")
	return filepath.Join(dir, name)
}

func startS3(t *testing.T) bucket {
	address := cluster.Address(t)
	emulator(t, address, installed(t, "github.com/johannesboyne/gofakes3/cmd/gofakes3@v1.2.0"), "-backend", "memory", "-host", address, "-initialbucket", "backups")
	return bucket{
		"s3://backups?region=eu-west-1&use_path_style=true&endpoint=http://" + address + "&prefix=clusterlite/",
		map[string]string{"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"},
	}
}

func startGCS(t *testing.T) bucket {
	address := cluster.Address(t)
	host, port, _ := strings.Cut(address, ":")
	emulator(t, address, installed(t, "github.com/fsouza/fake-gcs-server@v1.56.1"), "-backend", "memory", "-scheme", "http", "-host", host, "-port", port, "-external-url", "http://"+address, "-public-host", address)
	r, err := http.Post("http://"+address+"/storage/v1/b?project=test", "application/json", strings.NewReader(`{"name":"backups"}`))
	if err != nil || r.StatusCode != 200 {
		t.Fatalf("create the bucket: got %v, %+v, want 200", err, r)
	}
	_ = r.Body.Close()
	return bucket{"gs://backups?prefix=clusterlite/", map[string]string{"STORAGE_EMULATOR_HOST": address}}
}

// azurite is Microsoft's emulator. Its documentation names the account and the key.
const (
	azurite      = "azurite@3.37.0"
	azureAccount = "devstoreaccount1"
	azureKey     = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
)

func startAzure(t *testing.T) bucket {
	dir := t.TempDir()
	install := exec.Command("npm", "install", "--prefix", dir, "--no-audit", "--no-fund", "--silent", azurite)
	if out, err := install.CombinedOutput(); err != nil {
		t.Fatalf("install %s: %v: %s", azurite, err, out)
	}
	address := cluster.Address(t)
	host, port, _ := strings.Cut(address, ":")
	emulator(t, address, filepath.Join(dir, "node_modules", ".bin", "azurite-blob"), "--inMemoryPersistence", "--silent", "--skipApiVersionCheck", "--blobHost", host, "--blobPort", port)
	makeContainer(t, address)
	return bucket{
		"azblob://backups?protocol=http&localemu=true&domain=" + address + "&prefix=clusterlite/",
		map[string]string{"AZURE_STORAGE_ACCOUNT": azureAccount, "AZURE_STORAGE_KEY": azureKey},
	}
}

// makeContainer creates Azure's bucket with a request that is signed with the account's key:
// https://learn.microsoft.com/rest/api/storageservices/authorize-with-shared-key
func makeContainer(t *testing.T, address string) {
	t.Helper()
	q, err := http.NewRequest(http.MethodPut, "http://"+address+"/"+azureAccount+"/backups?restype=container", nil)
	if err != nil {
		t.Fatal(err)
	}
	date, version := time.Now().UTC().Format(http.TimeFormat), "2021-12-02"
	q.Header.Set("x-ms-date", date)
	q.Header.Set("x-ms-version", version)
	key, err := base64.StdEncoding.DecodeString(azureKey)
	if err != nil {
		t.Fatal(err)
	}
	mac := hmac.New(sha256.New, key)
	// The signed text consists of the verb, eleven empty standard headers, our headers, and the
	// resource.
	_, _ = fmt.Fprintf(mac, "PUT%sx-ms-date:%s\nx-ms-version:%s\n/%s/%s/backups\nrestype:container", strings.Repeat("\n", 12), date, version, azureAccount, azureAccount)
	q.Header.Set("Authorization", "SharedKey "+azureAccount+":"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	r, err := http.DefaultClient.Do(q)
	if err != nil || r.StatusCode != 201 {
		t.Fatalf("create the container: got %v, %+v, want 201", err, r)
	}
	_ = r.Body.Close()
}
