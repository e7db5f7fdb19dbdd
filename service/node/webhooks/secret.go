package webhooks

import (
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	standard "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

// A signer signs requests with one secret.
type signer interface {
	Sign(id string, at time.Time, body []byte) (string, error)
}

const (
	secretPrefix = "whsec_"
	// minSecret and maxSecret are the lengths in bytes that the convention allows.
	minSecret, maxSecret = 24, 64
	// maxSecrets is the number of secrets during a rotation.
	maxSecrets = 4
)

// readSecrets reads the secrets of the webhook. No error repeats a part of a secret.
func (w *Webhook) readSecrets(dir string, getenv func(string) string) (member string, err error) {
	var text string
	switch {
	case (w.SecretFile == "") == (w.SecretEnv == ""):
		return "secret_file", errors.New("exactly one of secret_file and secret_env must be set")
	case w.SecretEnv != "":
		member = "secret_env"
		if text = getenv(w.SecretEnv); text == "" {
			return member, fmt.Errorf("the variable %s is not set", w.SecretEnv)
		}
	default:
		member = "secret_file"
		content, err := os.ReadFile(w.secretPath(dir))
		if err != nil {
			return member, err
		}
		text = string(content)
	}
	secrets := strings.Fields(text)
	if len(secrets) < 1 || len(secrets) > maxSecrets {
		return member, fmt.Errorf("got %d secrets, want 1 to %d, separated by space", len(secrets), maxSecrets)
	}
	for i, secret := range secrets {
		encoded, prefixed := strings.CutPrefix(secret, secretPrefix)
		key, err := base64.StdEncoding.DecodeString(encoded)
		if !prefixed || err != nil || len(key) < minSecret || len(key) > maxSecret {
			return member, fmt.Errorf("secret %d is not valid; want %s followed by %d to %d bytes in base64", i+1, secretPrefix, minSecret, maxSecret)
		}
		s, err := standard.NewWebhookRaw(key)
		if err != nil {
			return member, errors.New("a secret can't be used")
		}
		w.signers = append(w.signers, s)
	}
	return "", nil
}

func (w *Webhook) secretPath(dir string) string {
	if filepath.IsAbs(w.SecretFile) {
		return w.SecretFile
	}
	return filepath.Join(dir, w.SecretFile)
}

// sign returns the signatures of a request, one for each secret.
func (w *Webhook) sign(id string, at time.Time, body []byte) (string, error) {
	var all []string
	for _, s := range w.signers {
		signature, err := s.Sign(id, at, body)
		if err != nil {
			return "", err
		}
		all = append(all, signature)
	}
	return strings.Join(all, " "), nil
}
