package webhooks_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/clusterlite/clusterlite/service/node/webhooks"
)

// A mistake names the file and the place, and repeats no secret.
func TestMistakes(t *testing.T) {
	const ok = `"name": "w", "url": "https://example.com/hidden", "collections": ["users"], "secret_env": "SECRET"`
	env := map[string]string{"SECRET": secrets[0], "SHORT": "whsec_aGlkZGVu", "FOREIGN": "hidden", "MANY": strings.Repeat(secrets[0]+" ", 5)}
	path := filepath.Join(t.TempDir(), "webhooks.json")
	load := func(content string) ([]*webhooks.Webhook, error) {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return webhooks.Load(path, feed{}, func(name string) string { return env[name] })
	}
	one := func(members string) string { return `{"webhooks": [{` + members + `}]}` }
	without := func(member string) string {
		return one(strings.Replace(ok, member, "", 1))
	}
	for content, want := range map[string]string{
		"{\n\n]":                         "line 3",
		`{}`:                             "needs the member webhooks",
		`{"hooks": []}`:                  `unknown field "hooks"`,
		`{"webhooks": []} x`:             "after the JSON value",
		one(ok + `, "secret": "hidden"`): `webhooks[0]: json: unknown field "secret"`,
		without(`"name": "w", `):         `webhooks[0]: name: "" is not a name`,
		one(strings.Replace(ok, `"w"`, `"W"`, 1)):                                              `name: "W" is not a name`,
		one(strings.Replace(ok, "https", "http", 1)):                                           "url: http:// sends the events unencrypted",
		one(strings.Replace(ok, "https", "ftp", 1)):                                            "url: it must begin with https://",
		one(strings.Replace(ok, "https://", "https://me:hidden@", 1)):                          "url: it must hold no user",
		one(strings.Replace(ok, "https://example.com", "https://", 1)):                         "url: it must begin with https://",
		one(strings.Replace(ok, `["users"]`, `[]`, 1)):                                         "collections: it must name at least one",
		one(strings.Replace(ok, `users`, `clusterlite_keys`, 1)):                               `collections: no collection has the name "clusterlite_keys"`,
		one(ok + `, "types": ["made"]`):                                                        `types: "made" is not a type`,
		one(ok + `, "filter": "x=1"`):                                                          "filter: there is only the filter id",
		one(ok + `, "filter": "id=1&id=2"`):                                                    "filter: it has id more than once",
		one(strings.Replace(ok, `["users"]`, `["users", "orders"]`, 1) + `, "filter": "id=1"`): "filter: a filter needs exactly one collection",
		one(ok + `, "from": "then"`):                                                           `from: "then" is not a start`,
		one(ok + `, "concurrency": 65`):                                                        "concurrency: 65 is not allowed",
		one(ok + `, "timeout": "16s"`):                                                         "timeout: 16s is not allowed",
		one(ok + `, "timeout": 5`):                                                             "a duration must be a string",
		one(ok + `, "retry_for": "soon"`):                                                      `"soon" is not a duration`,
		one(ok + `, "retry_for": "1000h"`):                                                     "retry_for: 1000h0m0s is not allowed",
		one(ok + `, "secret_file": "x"`):                                                       "exactly one of secret_file and secret_env",
		without(`, "secret_env": "SECRET"`):                                                    "exactly one of secret_file and secret_env",
		one(strings.Replace(ok, "SECRET", "NONE", 1)):                                          "secret_env: the variable NONE is not set",
		one(strings.Replace(ok, "SECRET", "SHORT", 1)):                                         "secret_env: secret 1 is not valid",
		one(strings.Replace(ok, "SECRET", "FOREIGN", 1)):                                       "secret_env: secret 1 is not valid",
		one(strings.Replace(ok, "SECRET", "MANY", 1)):                                          "secret_env: got 5 secrets, want 1 to 4",
		one(strings.Replace(ok, `"secret_env": "SECRET"`, `"secret_file": "gone"`, 1)):         "secret_file: open ",
		`{"webhooks": [{` + ok + `}, {` + ok + `}]}`:                                           "webhooks[1] (w): another webhook has the same name",
	} {
		_, err := load(content)
		var mistake *webhooks.DeclarationError
		if !errors.As(err, &mistake) || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), path) {
			t.Errorf("%s: got %v, want a mistake with the file and %q", content, err, want)
		} else if strings.Contains(err.Error(), "hidden") {
			t.Errorf("%s: got %v, want no secret", content, err)
		}
	}
	all, err := load(one(ok + `, "types": ["deleted", "restored"], "concurrency": 1, "timeout": "1s", "retry_for": "1h", "from": "beginning"`))
	if err != nil || len(all) != 1 || all[0].Name != "w" || all[0].Concurrency != 1 {
		t.Errorf("got %+v, %v, want the webhook", all, err)
	}
}
