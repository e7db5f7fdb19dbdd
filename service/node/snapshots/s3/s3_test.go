package s3_test

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/clusterlite/clusterlite/service/node/snapshots"
	"github.com/clusterlite/clusterlite/service/node/snapshots/internal/buckettest"
	"github.com/clusterlite/clusterlite/service/node/snapshots/s3"
)

// A server implements the part of S3 that a bucket of snapshots needs. It expects the bucket's
// name in the path.
type server struct {
	mu       sync.Mutex
	url      string
	objects  map[string][]byte
	parts    map[string][]byte // of an upload, by the object's name
	requests []*http.Request
}

func start(t *testing.T) *server {
	t.Helper()
	s := &server{objects: map[string][]byte{}, parts: map[string][]byte{}}
	l := httptest.NewServer(s)
	t.Cleanup(l.Close)
	s.url = l.URL
	// The test must not use files and servers of the machine that runs it.
	for name, value := range map[string]string{
		"AWS_CONFIG_FILE": filepath.Join(t.TempDir(), "config"), "AWS_SHARED_CREDENTIALS_FILE": filepath.Join(t.TempDir(), "credentials"),
		"AWS_EC2_METADATA_DISABLED": "true", "AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "AWS_SESSION_TOKEN": "", "AWS_REGION": "", "AWS_PROFILE": "",
	} {
		t.Setenv(name, value)
	}
	return s
}

// credentials sets credentials in the environment.
func credentials(t *testing.T) {
	t.Setenv("AWS_ACCESS_KEY_ID", "AKIDTEST")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests = append(s.requests, r)
	body, err := content(r)
	if err != nil {
		return // the client has disconnected
	}
	name := strings.TrimPrefix(r.URL.Path, "/backups/")
	query := r.URL.Query()
	switch {
	case r.Method == http.MethodPost && query.Has("uploads"):
		s.parts[name] = nil
		_, _ = io.WriteString(w, `<InitiateMultipartUploadResult><UploadId>1</UploadId></InitiateMultipartUploadResult>`)
	case r.Method == http.MethodPut && query.Has("partNumber"):
		s.parts[name] = append(s.parts[name], body...)
		w.Header().Set("ETag", `"part"`)
	case r.Method == http.MethodPost && query.Has("uploadId"):
		s.objects[name] = s.parts[name]
		_, _ = io.WriteString(w, `<CompleteMultipartUploadResult><Bucket>backups</Bucket><ETag>"whole"</ETag></CompleteMultipartUploadResult>`)
	case r.Method == http.MethodDelete && query.Has("uploadId"):
		delete(s.parts, name)
		w.WriteHeader(http.StatusNoContent)
	case r.Method == http.MethodPut:
		s.objects[name] = body
		w.Header().Set("ETag", `"whole"`)
	case query.Has("list-type"):
		s.list(w, query)
	case r.Method == http.MethodDelete:
		delete(s.objects, name)
		w.WriteHeader(http.StatusNoContent)
	case s.objects[name] == nil:
		w.WriteHeader(http.StatusNotFound)
		_, _ = io.WriteString(w, `<Error><Code>NoSuchKey</Code></Error>`)
	default:
		w.Header().Set("ETag", `"whole"`)
		w.Header().Set("Last-Modified", time.Now().UTC().Format(http.TimeFormat))
		w.Header().Set("Content-Length", strconv.Itoa(len(s.objects[name])))
		if r.Method != http.MethodHead {
			_, _ = w.Write(s.objects[name])
		}
	}
}

// content reads a body, which may be in signed chunks.
func content(r *http.Request) (all []byte, err error) {
	body, err := io.ReadAll(r.Body)
	if err != nil || !strings.HasPrefix(r.Header.Get("X-Amz-Content-Sha256"), "STREAMING") {
		return body, err
	}
	for len(body) > 0 {
		line, rest, _ := bytes.Cut(body, []byte("\r\n"))
		size, _, _ := strings.Cut(string(line), ";")
		n, err := strconv.ParseInt(size, 16, 64)
		if err != nil || n == 0 {
			return all, err
		}
		all, body = append(all, rest[:n]...), rest[n+2:]
	}
	return all, nil
}

func (s *server) list(w http.ResponseWriter, query url.Values) {
	type object struct {
		Key          string
		Size         int
		LastModified time.Time
	}
	var page struct {
		XMLName  xml.Name `xml:"ListBucketResult"`
		Contents []object
	}
	var names []string
	for name := range s.objects {
		if strings.HasPrefix(name, query.Get("prefix")) && name > query.Get("start-after") {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		page.Contents = append(page.Contents, object{name, len(s.objects[name]), time.Now().UTC()})
	}
	if maximum, err := strconv.Atoi(query.Get("max-keys")); err == nil {
		page.Contents = page.Contents[:min(maximum, len(page.Contents))]
	}
	_ = xml.NewEncoder(w).Encode(page)
}

func open(t *testing.T, query string) (snapshots.Bucket, error) {
	t.Helper()
	return s3.Open(t.Context(), &url.URL{Scheme: s3.Scheme, Host: "backups", RawQuery: query})
}

func TestBucket(t *testing.T) {
	for _, query := range []string{"", "&request_checksum_calculation=when_required"} {
		t.Run(query, func(t *testing.T) {
			s := start(t)
			credentials(t)
			b, err := open(t, "region=eu-west-1&use_path_style=true&endpoint="+s.url+query)
			if err != nil {
				t.Fatal(err)
			}
			buckettest.Run(t, b)
		})
	}
}

// A listing continues after its first thousand objects.
func TestPages(t *testing.T) {
	s := start(t)
	credentials(t)
	for i := range 2500 {
		s.objects[fmt.Sprintf("a-%05d", i)] = []byte("x")
	}
	b, err := open(t, "region=eu-west-1&use_path_style=true&endpoint="+s.url)
	if err != nil {
		t.Fatal(err)
	}
	var sizes []int
	for page := ""; ; {
		objects, next, err := b.List(t.Context(), "a-", page)
		if err != nil {
			t.Fatal(err)
		}
		sizes = append(sizes, len(objects))
		if page = next; page == "" {
			break
		}
	}
	if !slices.Equal(sizes, []int{1000, 1000, 500}) {
		t.Errorf("got pages of %v, want 1000, 1000 and 500", sizes)
	}
}

// Credentials and regions are found where Amazon's tools find them, and the parameters reach
// the requests.
func TestParameters(t *testing.T) {
	profile := "[profile backup]\nregion = eu-central-1\naws_access_key_id = AKIDPROFILE\naws_secret_access_key = x\n"
	for name, c := range map[string]struct {
		env    map[string]string
		config string
		query  string
		header string // of the request that stores an object
		want   string // in it
	}{
		"environment":          {map[string]string{"AWS_REGION": "eu-north-1"}, "", "", "Authorization", "AKIDTEST/" + time.Now().UTC().Format("20060102") + "/eu-north-1/s3"},
		"session":              {map[string]string{"AWS_SESSION_TOKEN": "token"}, "", "region=eu-west-1", "X-Amz-Security-Token", "token"},
		"profile parameter":    {map[string]string{"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}, profile, "profile=backup", "Authorization", "AKIDPROFILE"},
		"profile variable":     {map[string]string{"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "AWS_PROFILE": "backup"}, profile, "", "Authorization", "/eu-central-1/s3"},
		"credential process":   {map[string]string{"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}, "[default]\ncredential_process = echo '{\"Version\":1,\"AccessKeyId\":\"AKIDPROCESS\",\"SecretAccessKey\":\"x\"}'\n", "region=eu-west-1", "Authorization", "AKIDPROCESS"},
		"anonymous":            {nil, "", "region=eu-west-1&anonymous=true", "Authorization", ""},
		"server-side":          {nil, "", "region=eu-west-1&ssetype=AES256", "X-Amz-Server-Side-Encryption", "AES256"},
		"server-side by KMS":   {nil, "", "region=eu-west-1&ssetype=aws:kms&kmskeyid=key1", "X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id", "key1"},
		"legacy path style":    {nil, "", "region=eu-west-1&s3ForcePathStyle=true", "Content-Type", "octet-stream"},
		"checksums on request": {nil, "", "region=eu-west-1&request_checksum_calculation=when_required", "X-Amz-Trailer", ""},
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t)
			credentials(t)
			t.Setenv("AWS_ENDPOINT_URL_S3", s.url)
			for name, value := range c.env {
				t.Setenv(name, value)
			}
			if err := os.WriteFile(os.Getenv("AWS_CONFIG_FILE"), []byte(c.config), 0o600); err != nil {
				t.Fatal(err)
			}
			query := c.query
			if !strings.Contains(query, "PathStyle") {
				query += "&use_path_style=true"
			}
			b, err := open(t, query)
			if err != nil {
				t.Fatal(err)
			}
			w, err := b.Create(t.Context(), "a-1")
			if err == nil {
				_, err = io.WriteString(w, "x")
			}
			if err == nil {
				err = w.Close()
			}
			if err != nil {
				t.Fatal(err)
			}
			r := s.requests[len(s.requests)-1]
			if got := r.Header.Get(c.header); r.Method != http.MethodPut || !strings.Contains(got, c.want) || c.want == "" && got != "" {
				t.Errorf("got %s with %s %q, want PUT with %q", r.Method, c.header, got, c.want)
			}
		})
	}
}

func TestBadParameters(t *testing.T) {
	start(t)
	for _, query := range []string{
		"regin=eu-west-1", "accelerate=perhaps", "role=admin", "ssetype=rot13", "request_checksum_calculation=never",
		"endpoint=localhost:9000", "endpoint=http://localhost/path", "fips=true", "rate_limiter_capacity=3",
	} {
		if b, err := open(t, query); err == nil {
			t.Errorf("%s: got %v, want an error", query, b)
		}
	}
}
