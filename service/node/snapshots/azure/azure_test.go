package azure_test

import (
	"encoding/base64"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/clusterlite/clusterlite/service/node/snapshots"
	"github.com/clusterlite/clusterlite/service/node/snapshots/azure"
	"github.com/clusterlite/clusterlite/service/node/snapshots/internal/buckettest"
)

// A server implements the part of Blob Storage that a container of snapshots needs. It lists two
// objects on each page.
type server struct {
	mu       sync.Mutex
	host     string
	objects  map[string][]byte
	blocks   map[string][]byte // by the object's name and the block's id
	requests []*http.Request
}

func start(t *testing.T) *server {
	t.Helper()
	s := &server{objects: map[string][]byte{}, blocks: map[string][]byte{}}
	l := httptest.NewServer(s)
	t.Cleanup(l.Close)
	s.host = strings.TrimPrefix(l.URL, "http://")
	for _, name := range []string{
		"ACCOUNT", "KEY", "SAS_TOKEN", "DOMAIN", "PROTOCOL", "CONNECTION_STRING", "IS_CDN", "IS_LOCAL_EMULATOR",
	} {
		t.Setenv("AZURE_STORAGE_"+name, "")
	}
	return s
}

var key = base64.StdEncoding.EncodeToString([]byte("a key"))

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests = append(s.requests, r)
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the client has disconnected
	}
	name, query := strings.TrimPrefix(r.URL.Path, "/account/backups/"), r.URL.Query()
	switch {
	case query.Get("comp") == "list":
		s.list(w, query)
	case query.Get("comp") == "block":
		s.blocks[name+query.Get("blockid")] = body
		w.WriteHeader(http.StatusCreated)
	case query.Get("comp") == "blocklist":
		var list struct {
			Latest []string
		}
		if err := xml.Unmarshal(body, &list); err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		s.objects[name] = nil
		for _, id := range list.Latest {
			s.objects[name] = append(s.objects[name], s.blocks[name+id]...)
		}
		w.WriteHeader(http.StatusCreated)
	case r.Method == http.MethodPut:
		s.objects[name] = body
		w.WriteHeader(http.StatusCreated)
	case s.objects[name] == nil:
		w.Header().Set("x-ms-error-code", "BlobNotFound")
		w.WriteHeader(http.StatusNotFound)
	case r.Method == http.MethodDelete:
		delete(s.objects, name)
		w.WriteHeader(http.StatusAccepted)
	default:
		w.Header().Set("Content-Length", strconv.Itoa(len(s.objects[name])))
		if r.Method != http.MethodHead {
			_, _ = w.Write(s.objects[name])
		}
	}
}

func (s *server) list(w http.ResponseWriter, query url.Values) {
	var names []string
	for name := range s.objects {
		if strings.HasPrefix(name, query.Get("prefix")) && name > query.Get("marker") {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	next := ""
	if len(names) > 2 {
		names, next = names[:2], names[1]
	}
	_, _ = fmt.Fprint(w, `<?xml version="1.0" encoding="utf-8"?><EnumerationResults><Blobs>`)
	for _, name := range names {
		_, _ = fmt.Fprintf(w, `<Blob><Name>%s</Name><Properties><Last-Modified>%s</Last-Modified><Content-Length>%d</Content-Length></Properties></Blob>`,
			name, time.Now().UTC().Format(http.TimeFormat), len(s.objects[name]))
	}
	_, _ = fmt.Fprintf(w, `</Blobs><NextMarker>%s</NextMarker></EnumerationResults>`, next)
}

func open(t *testing.T, query string) (snapshots.Bucket, error) {
	t.Helper()
	return azure.Open(t.Context(), &url.URL{Scheme: azure.Scheme, Host: "backups", RawQuery: query})
}

func TestBucket(t *testing.T) {
	s := start(t)
	t.Setenv("AZURE_STORAGE_ACCOUNT", "account")
	t.Setenv("AZURE_STORAGE_KEY", key)
	b, err := open(t, "protocol=http&localemu=true&domain="+s.host)
	if err != nil {
		t.Fatal(err)
	}
	buckettest.Run(t, b)
}

// The account and the credentials are found in the variables of Microsoft's tools.
func TestAccounts(t *testing.T) {
	const authorization = "Authorization"
	for name, c := range map[string]struct {
		env           map[string]string // HOST is the server's
		query         string
		path          string // of the request
		header, value string
		parameter     string // of the request, or empty
	}{
		"key":               {map[string]string{"ACCOUNT": "account", "KEY": key, "DOMAIN": "HOST", "PROTOCOL": "http"}, "", "/account/backups/a-1", authorization, "SharedKey account:", ""},
		"account parameter": {map[string]string{"ACCOUNT": "other", "KEY": key, "DOMAIN": "HOST", "PROTOCOL": "http"}, "storage_account=account", "/account/backups/a-1", authorization, "SharedKey account:", ""},
		"SAS token":         {map[string]string{"ACCOUNT": "account", "SAS_TOKEN": "?sig=x&sv=y", "DOMAIN": "HOST", "PROTOCOL": "http"}, "", "/account/backups/a-1", authorization, "", "sig"},
		"connection string": {map[string]string{"CONNECTION_STRING": "DefaultEndpointsProtocol=http;AccountName=account;AccountKey=" + key + ";BlobEndpoint=http://HOST/account;"}, "", "/account/backups/a-1", authorization, "SharedKey account:", ""},
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t)
			for name, value := range c.env {
				t.Setenv("AZURE_STORAGE_"+name, strings.ReplaceAll(value, "HOST", s.host))
			}
			b, err := open(t, c.query)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := b.Exists(t.Context(), "a-1"); err != nil {
				t.Fatal(err)
			}
			r := s.requests[0]
			if got := r.Header.Get(c.header); r.URL.Path != c.path || !strings.HasPrefix(got, c.value) || c.value == "" && got != "" || c.parameter != "" && !r.URL.Query().Has(c.parameter) {
				t.Errorf("got %s with %s %q, want %s with %q and the parameter %q", r.URL, c.header, got, c.path, c.value, c.parameter)
			}
		})
	}
}

// A URL must not send a token to a server that the environment does not name.
func TestATokenStaysWithItsServer(t *testing.T) {
	s := start(t)
	t.Setenv("AZURE_STORAGE_ACCOUNT", "account")
	t.Setenv("AZURE_STORAGE_SAS_TOKEN", "sig=x")
	if b, err := open(t, "protocol=http&localemu=true&domain="+s.host); err == nil || !strings.Contains(err.Error(), "token") {
		t.Errorf("got %v, %v, want an error about the token", b, err)
	}
}

func TestBadAccounts(t *testing.T) {
	start(t)
	if b, err := open(t, ""); err == nil || !strings.Contains(err.Error(), "AZURE_STORAGE_ACCOUNT") {
		t.Errorf("no account: got %v, %v, want an error that names AZURE_STORAGE_ACCOUNT", b, err)
	}
	t.Setenv("AZURE_STORAGE_ACCOUNT", "account")
	for _, query := range []string{"protocol=ftp", "cdn=perhaps", "container=x"} {
		if b, err := open(t, query); err == nil {
			t.Errorf("%s: got %v, want an error", query, b)
		}
	}
}
