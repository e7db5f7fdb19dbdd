package models

import (
	"errors"
	"testing"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/service/node"
)

func TestJudge(t *testing.T) {
	base := node.ModelDigest{Node: "a", Hash: "h", Changed: 5, Digest: "d"}
	change := func(f func(*node.ModelDigest)) node.ModelDigest {
		other := base
		f(&other)
		return other
	}
	for name, c := range map[string]struct {
		other node.ModelDigest
		err   error
		want  string
	}{
		"equal at another position": {change(func(d *node.ModelDigest) { d.Position = 9 }), nil, equal},
		"other rows":                {change(func(d *node.ModelDigest) { d.Digest = "e" }), nil, different},
		"other event":               {change(func(d *node.ModelDigest) { d.Changed, d.Digest = 6, "e" }), nil, unknown},
		"other file":                {change(func(d *node.ModelDigest) { d.Hash = "g" }), nil, unknown},
		"other skips":               {change(func(d *node.ModelDigest) { d.Skipped = []events.Position{3} }), nil, different},
		"no answer":                 {base, errors.New("x"), unknown},
	} {
		if got := judge("m", []node.ModelDigest{base, c.other}, c.err).Result; got != c.want {
			t.Errorf("%s: got %s, want %s", name, got, c.want)
		}
	}
}
