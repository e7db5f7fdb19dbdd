package settings_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/clusterlite/clusterlite/service/process/settings"
)

func TestKafkaSecurityIsChecked(t *testing.T) {
	for name, c := range map[string]struct {
		security settings.KafkaSecurity
		want     string // in the error; empty for none
	}{
		"nothing":                 {settings.KafkaSecurity{}, ""},
		"TLS alone":               {settings.KafkaSecurity{TLS: true}, ""},
		"files without TLS":       {settings.KafkaSecurity{CAFile: "ca.pem"}, "CLUSTERLITE_KAFKA_TLS=true"},
		"certificate without key": {settings.KafkaSecurity{TLS: true, CertFile: "c.pem"}, "CLUSTERLITE_KAFKA_TLS_KEY_FILE"},
		"unknown mechanism":       {settings.KafkaSecurity{Mechanism: "GSSAPI"}, "SCRAM-SHA-512"},
		"no mechanism":            {settings.KafkaSecurity{Username: "ada"}, "CLUSTERLITE_KAFKA_SASL_MECHANISM"},
		"no user":                 {settings.KafkaSecurity{Mechanism: "PLAIN", Password: "s3cret"}, "CLUSTERLITE_KAFKA_SASL_USERNAME"},
		"no password":             {settings.KafkaSecurity{Mechanism: "PLAIN", Username: "ada"}, "CLUSTERLITE_KAFKA_SASL_PASSWORD_FILE"},
		"two passwords":           {settings.KafkaSecurity{Mechanism: "PLAIN", Username: "ada", Password: "s3cret", PasswordFile: "f"}, "not both"},
		"password":                {settings.KafkaSecurity{Mechanism: "SCRAM-SHA-256", Username: "ada", Password: "s3cret"}, ""},
		"no token URL":            {settings.KafkaSecurity{Mechanism: "OAUTHBEARER", Username: "ada", Password: "s3cret"}, "CLUSTERLITE_KAFKA_SASL_TOKEN_URL"},
		"token URL for PLAIN":     {settings.KafkaSecurity{Mechanism: "PLAIN", Username: "ada", Password: "s3cret", TokenURL: "https://a"}, "OAUTHBEARER only"},
	} {
		t.Run(name, func(t *testing.T) {
			err := c.security.CheckSettings()
			switch {
			case c.want == "" && err != nil:
				t.Errorf("got %v, want no error", err)
			case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
				t.Errorf("got %v, want an error with %q", err, c.want)
			case err != nil && strings.Contains(err.Error(), "s3cret"):
				t.Errorf("got %v, want an error without the password", err)
			}
		})
	}
}

func TestKafkaFilesAreRead(t *testing.T) {
	dir := t.TempDir()
	password, junk := filepath.Join(dir, "password"), filepath.Join(dir, "junk")
	for path, content := range map[string]string{password: "s3cret\n", junk: "no certificate"} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	good := settings.KafkaSecurity{Mechanism: "PLAIN", Username: "ada", PasswordFile: password}
	security, err := good.Security(nil)
	if err != nil {
		t.Fatal(err)
	}
	if user, got := security.SASL.Credentials(); user != "ada" || got != "s3cret" {
		t.Errorf("got %q and %q, want ada and s3cret", user, got)
	}
	for want, s := range map[string]settings.KafkaSecurity{
		"CLUSTERLITE_KAFKA_TLS_CA_FILE":        {TLS: true, CAFile: junk},
		"CLUSTERLITE_KAFKA_TLS_CERT_FILE":      {TLS: true, CertFile: junk, KeyFile: junk},
		"CLUSTERLITE_KAFKA_SASL_PASSWORD_FILE": {Mechanism: "PLAIN", Username: "ada", PasswordFile: filepath.Join(dir, "missing")},
	} {
		if _, err := s.Security(nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want an error with %s", err, want)
		}
	}
}
