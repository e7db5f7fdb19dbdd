package settings_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/clusterlite/clusterlite/service/process/settings"
)

func TestOpenToken(t *testing.T) {
	short := errors.New("too short")
	check := func(token string) error {
		if len(token) < 3 {
			return short
		}
		return nil
	}
	open := func(value, path string) (func() string, error) {
		return settings.OpenToken(value, path, check, func(err error) { t.Errorf("got the report %v, want none", err) })
	}
	if token, err := open("", ""); token != nil || err != nil {
		t.Errorf("without a token: got %t, %v, want nil", token != nil, err)
	}
	if token, err := open("value", ""); err != nil || token() != "value" {
		t.Errorf("got %v, want the value", err)
	}
	path := filepath.Join(t.TempDir(), "token")
	if token, err := open("", path); token != nil || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("without the file: got %t, %v, want %v", token != nil, err, os.ErrNotExist)
	}
	for content, want := range map[string]error{" token\n": nil, " \n": short} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		token, err := open("", path)
		if !errors.Is(err, want) || want == nil && token() != "token" {
			t.Errorf("%q: got %v, want %v and the token without space around it", content, err, want)
		}
	}
}
