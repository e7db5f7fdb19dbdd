package reads

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"slices"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/projections/digest"
	"github.com/clusterlite/clusterlite/projections/internal/rowformat"
)

// An Audit compares each collection's rows with its digest.
type Audit struct {
	// Position is the position at which everything was read.
	Position events.Position
	// Collections are all collections with stored rows or digests.
	Collections map[string]Audited
}

// Audited is the result for one collection.
type Audited struct {
	// Kept is the summary that was written with each batch, and Found is the summary of the
	// rows now. They differ if anything but the log changed a row.
	Kept, Found digest.Summary
	// ClaimsDiffer means that the index of unique values does not match the rows.
	ClaimsDiffer bool
}

// Differs reports whether the rows or claims differ from those that the log gives.
func (a Audited) Differs() bool { return a.Kept != a.Found || a.ClaimsDiffer }

// Audit reads all rows and recomputes the digests. progress, if not nil, is called at intervals
// with the number of rows read so far and the total. Its error ends the audit.
func (s *Tx) Audit(ctx context.Context, progress func(done, all int64) error) (Audit, error) {
	audit := Audit{Position: s.At, Collections: map[string]Audited{}}
	kept, err := s.Summaries(ctx)
	if err != nil {
		return Audit{}, err
	}
	names, err := s.Collections(ctx)
	if err != nil {
		return Audit{}, err
	}
	count, alive, err := s.counting(ctx, kept, progress)
	if err != nil {
		return Audit{}, err
	}
	for _, name := range names {
		found, err := s.AuditCollection(ctx, name, count, alive)
		if err != nil {
			return Audit{}, err
		}
		found.Kept = kept[name]
		audit.Collections[name] = found
	}
	return audit, nil
}

// counting returns functions that count rows and call progress at intervals: count for each
// row, and alive for each step that is not a row.
func (s *Tx) counting(ctx context.Context, kept map[string]digest.Summary, progress func(done, all int64) error) (count, alive func() error, err error) {
	if progress == nil {
		none := func() error { return nil }
		return none, none, nil
	}
	const every = 1 << 14
	var done, all, steps int64
	if err := s.conn.GetContext(ctx, &all, `SELECT count(*) FROM _tombstones`); err != nil {
		return nil, nil, s.observed(fmt.Errorf("count the rows: %w", err))
	}
	for _, summary := range kept {
		all += summary.Living
	}
	count = func() error {
		if done++; done%every == 0 {
			return progress(done, max(done, all))
		}
		return nil
	}
	alive = func() error {
		if steps++; steps%every == 0 {
			return progress(done, max(done, all))
		}
		return nil
	}
	return count, alive, nil
}

// AuditCollection recomputes the digest of one collection. Kept is left empty. It calls count
// after each row and alive after each other step; their errors end the audit.
func (s *Tx) AuditCollection(ctx context.Context, collection string, count, alive func() error) (a Audited, err error) {
	var held, indexed digest.Sum
	err = s.Rows(ctx, collection, func(r Row) error {
		a.Found.Digest.Add(r.Digest)
		if !r.Deleted {
			a.Found.Living++
		}
		for _, claim := range rowformat.SplitClaims(r.claims) {
			held.Add(claimDigest(rowformat.PackClaim(claim), r.ID))
		}
		return count()
	})
	if err != nil {
		return a, err
	}
	if err := s.loadRecentClaims(ctx); err != nil {
		return a, s.observed(s.unreadable(ctx, fmt.Errorf("read the recent claims: %w", err)))
	}
	recent := s.recentClaims[collection]
	for claim, id := range recent {
		if id != nil {
			indexed.Add(claimDigest([]byte(claim), rowformat.FormatID(id)))
		}
	}
	rows, err := s.conn.QueryContext(ctx, `SELECT claim, id FROM _claims WHERE collection = ?`, collection)
	if err != nil {
		return a, s.observed(fmt.Errorf("read the claims of %s: %w", collection, err))
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var claim sql.RawBytes
		var id rowformat.ID
		if err := rows.Scan(&claim, &id); err != nil {
			return a, s.observed(s.unreadable(ctx, fmt.Errorf("read the claims of %s: %w", collection, err)))
		}
		if _, changed := recent[string(claim)]; !changed {
			indexed.Add(claimDigest(claim, string(id)))
		}
		if err := alive(); err != nil {
			return a, err
		}
	}
	a.ClaimsDiffer = held != indexed
	return a, s.observed(rows.Err())
}

// loadRecentClaims reads the recent claims of all collections, unless an audit of this transaction has
// read them already.
func (s *Tx) loadRecentClaims(ctx context.Context) error {
	if s.recentClaims != nil {
		return nil
	}
	recent := map[string]map[string][]byte{}
	_, _, err := rowformat.EachRecentClaim(ctx, s.conn, func(collection string, claim, id []byte) {
		if recent[collection] == nil {
			recent[collection] = map[string][]byte{}
		}
		recent[collection][string(claim)] = slices.Clone(id)
	})
	if err == nil {
		s.recentClaims = recent
	}
	return err
}

// claimDigest hashes a packed claim and the entity that holds it.
func claimDigest(claim []byte, id string) digest.Sum {
	sum := sha256.Sum256(append(append(make([]byte, 0, 64), claim...), id...))
	return digest.FromBytes(sum[:])
}

// UnlikeDigests recomputes the digests of all rows in a file. It returns the collections whose
// rows do not match the digests stored with them, sorted by name. progress is as in [Tx.Audit].
func UnlikeDigests(ctx context.Context, path string, progress func(done, all int64) error) (collections []string, err error) {
	s, err := OpenFile(ctx, path)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	audit, err := s.Audit(ctx, progress)
	if err != nil {
		return nil, err
	}
	for name, a := range audit.Collections {
		if a.Differs() {
			collections = append(collections, name)
		}
	}
	slices.Sort(collections)
	return collections, nil
}
