package node

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/projections"
	"github.com/clusterlite/clusterlite/projections/reads"
	"github.com/clusterlite/clusterlite/service/httpapi/admin"
	"github.com/clusterlite/clusterlite/service/httpapi/problem"
)

// The lines in which a node describes its rows. Their JSON is part of the admin interface.
// The last line of either answer may be a problem instead.
type (
	// VerifyLine is a line of /verify: progress or, as the last line, the result.
	VerifyLine struct {
		Rows   int64            `json:"rows,omitempty"`
		Of     int64            `json:"of,omitempty"`
		Audit  *Audit           `json:"audit,omitempty"`
		Failed *problem.Problem `json:"problem,omitempty"`
	}
	// Audit compares the digests and claims that a node keeps with its rows.
	Audit struct {
		Node        string             `json:"node"`
		Position    events.Position    `json:"position"`
		Collections map[string]Audited `json:"collections"`
		// Journal is what is wrong with the journal of events. It is empty if the journal matches
		// the rows, and if the node keeps none.
		Journal string `json:"journal,omitempty"`
	}
	// Audited is one collection.
	Audited struct {
		Kept  Summary `json:"kept"`
		Found Summary `json:"found"`
		// ClaimsDiffer reports whether the index of unique values does not match the rows.
		ClaimsDiffer bool `json:"claims_differ"`
		Differs      bool `json:"differs"`
	}
	// RowLine is a line of /rows: first a position, then collections, each followed by
	// its rows in the order of their ids, and End as the last.
	RowLine struct {
		Position   *events.Position `json:"position,omitempty"`
		Collection string           `json:"collection,omitempty"`
		ID         string           `json:"id,omitempty"`
		Version    int64            `json:"version,omitempty"`
		Deleted    bool             `json:"deleted,omitempty"`
		Digest     string           `json:"digest,omitempty"`
		End        bool             `json:"end,omitempty"`
		Failed     *problem.Problem `json:"problem,omitempty"`
	}
)

// verify recomputes the digests from the rows. The answer reports progress; the write of a
// progress line also fails, and so ends the work, once the client has disconnected.
func (n *Node) verify(w http.ResponseWriter, r *http.Request) {
	n.withRows(w, r, func(ctx context.Context, s *reads.Tx, lines *admin.Lines) error {
		found, err := s.Audit(ctx, func(done, all int64) error {
			if err := lines.Write(VerifyLine{Rows: done, Of: all}); err != nil {
				return err
			}
			return lines.Flush()
		})
		if err != nil {
			return err
		}
		audit := NewAudit(n.NodeID, found)
		if audit.Journal, err = n.checkJournal(ctx, s); err != nil {
			return err
		}
		return lines.Write(VerifyLine{Audit: &audit})
	})
}

// checkJournal compares the journal with the rows at the same position, because each event made one
// version, and says what differs. A journal that does not reach back to the beginning of the log is
// only checked in itself.
func (n *Node) checkJournal(ctx context.Context, s *reads.Tx) (wrong string, err error) {
	j, release, err := n.Model.Journal()
	if errors.Is(err, projections.ErrNoJournal) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	defer release()
	found, err := j.Check(ctx, s.At)
	if ctx.Err() != nil {
		return "", ctx.Err()
	}
	if err != nil {
		return err.Error(), nil
	}
	if j.Start() > 0 {
		return "", nil
	}
	want, err := s.Versions(ctx)
	if err != nil {
		return "", err
	}
	for _, name := range slices.Sorted(maps.Keys(want)) {
		if found[name] != want[name] {
			return fmt.Sprintf("the journal has %d events of %s up to position %d, and the rows are from %d", found[name], name, s.At, want[name]), nil
		}
		delete(found, name)
	}
	for _, name := range slices.Sorted(maps.Keys(found)) {
		return fmt.Sprintf("the journal has %d events of %s up to position %d, and there are no rows of it", found[name], name, s.At), nil
	}
	return "", nil
}

// NewAudit converts an audit of a node's rows into the form of the answers.
func NewAudit(name string, found reads.Audit) Audit {
	audit := Audit{Node: name, Position: found.Position, Collections: map[string]Audited{}}
	for name, a := range found.Collections {
		audit.Collections[name] = Audited{summary(a.Kept), summary(a.Found), a.ClaimsDiffer, a.Differs()}
	}
	return audit
}

// rows lists all rows from one snapshot, at the requested position or later.
func (n *Node) rows(w http.ResponseWriter, r *http.Request) {
	if _, err := n.reach(r); err != nil {
		admin.WriteProblem(w, problem.From(err))
		return
	}
	n.withRows(w, r, func(ctx context.Context, s *reads.Tx, lines *admin.Lines) error {
		names, err := s.Collections(ctx)
		if err != nil {
			return err
		}
		// Send it at once, so that the client can prepare for the rest.
		if err := errors.Join(lines.Write(RowLine{Position: &s.At}), lines.Flush()); err != nil {
			return err
		}
		for _, name := range names {
			if err := lines.Write(RowLine{Collection: name}); err != nil {
				return err
			}
			err := s.Rows(ctx, name, func(r reads.Row) error {
				return lines.Write(RowLine{ID: r.ID, Version: r.Version, Deleted: r.Deleted, Digest: r.Digest.String()})
			})
			if err != nil {
				return err
			}
		}
		return lines.Write(RowLine{End: true})
	})
}

// withRows answers in lines, from a snapshot that may stay open for a long time.
func (n *Node) withRows(w http.ResponseWriter, r *http.Request, answer func(context.Context, *reads.Tx, *admin.Lines) error) {
	ctx := r.Context()
	s, err := n.Model.BeginLongRead(ctx)
	if err != nil {
		admin.WriteProblem(w, problem.Overloaded.New(err.Error()))
		return
	}
	defer func() { _ = s.Close() }() // it only read
	lines := admin.BeginLines(w)
	if err := answer(ctx, s, lines); err != nil {
		lines.Fail(problem.Internal.New(err.Error()))
		return
	}
	lines.End()
}
