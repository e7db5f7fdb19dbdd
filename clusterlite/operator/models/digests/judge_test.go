package digests

import (
	"errors"
	"testing"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/service/node/sqlmodels"
)

func TestJudge(t *testing.T) {
	base := sqlmodels.Digest{Node: "a", Hash: "h", Changed: 5, Digest: "d"}
	change := func(f func(*sqlmodels.Digest)) sqlmodels.Digest {
		other := base
		f(&other)
		return other
	}
	for name, c := range map[string]struct {
		other sqlmodels.Digest
		err   error
		want  string
	}{
		"equal at another position": {change(func(d *sqlmodels.Digest) { d.Position = 9 }), nil, Equal},
		"other rows":                {change(func(d *sqlmodels.Digest) { d.Digest = "e" }), nil, Different},
		"other event":               {change(func(d *sqlmodels.Digest) { d.Changed, d.Digest = 6, "e" }), nil, Unknown},
		"other file":                {change(func(d *sqlmodels.Digest) { d.Hash = "g" }), nil, Unknown},
		"other skips":               {change(func(d *sqlmodels.Digest) { d.Skipped = []events.Position{3} }), nil, Different},
		"no answer":                 {base, errors.New("x"), Unknown},
	} {
		if got := judge("m", []sqlmodels.Digest{base, c.other}, c.err).Result; got != c.want {
			t.Errorf("%s: got %s, want %s", name, got, c.want)
		}
	}
}
