package subjects

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/clusterlite/clusterlite/bench/load"
	"github.com/clusterlite/clusterlite/bench/process"
	"github.com/labstack/echo/v4"
	_ "github.com/mattn/go-sqlite3" // the driver
)

// Names of the limits in the report.
const (
	BareName  = "bare handler"
	NaiveName = "Echo and SQLite"
)

// limits runs this program itself as a server of the two designs that ClusterLite is compared
// with: a handler that only answers the same bytes, and one that commits each write to SQLite
// in its own transaction.
type limits struct {
	which string
	url   string
}

func (s *limits) Name() string { return s.which }

func (s *limits) URL() string { return s.url }

func (s *limits) Start(ctx context.Context, dir string) (process.Running, error) {
	addr, err := process.FreeAddr()
	if err != nil {
		return nil, err
	}
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	s.url = "http://" + addr
	return process.Launch(ctx, dir, s.url+"/users/1", nil, program, "serve", addr, dir+"/naive.db")
}

func (s *limits) Fill(context.Context, int) error { return nil }

func (s *limits) Requests(w load.Workload) (load.Requests, bool) {
	switch {
	case s.which == NaiveName && w == load.Create:
		name, _ := Person(0)
		return load.Requests{Method: http.MethodPost, ContentType: "application/json", Targets: []string{"/users"},
			Body: fmt.Sprintf(`{"name":%q,"email":"person-{n}@example.com"}`, name)}, true
	case s.which == BareName && (w == load.GetEventual || w == load.GetStrong || w == load.GetLinearizable):
		return load.Requests{Method: http.MethodGet, Targets: []string{"/users/1"}}, true
	case s.which == BareName && w == load.ListEventual:
		return load.Requests{Method: http.MethodGet, Targets: []string{"/users"}}, true
	}
	return load.Requests{}, false
}

// Serve is the server of a limits subject. The arguments are its address and its file.
func Serve(ctx context.Context, args []string) error {
	if len(args) != 2 {
		return errors.New("serve needs an address and a file")
	}
	db, err := openNaive(ctx, args[1])
	if err != nil {
		return err
	}
	defer db.Close()
	e := echo.New()
	e.HideBanner, e.HidePort = true, true
	name, email := Person(1)
	entity := fmt.Sprintf(`{"id":"0193a1a0-7c1e-7d2b-9c55-0f6a2a1b3c4d","version":1,"created_at":"2026-11-22T12:00:00.000Z","updated_at":"2026-11-22T12:00:00.000Z","name":%q,"email":%q}`, name, email)
	list := "[" + strings.TrimSuffix(strings.Repeat(entity+",", 20), ",") + "]"
	answer := func(body string) echo.HandlerFunc {
		return func(c echo.Context) error {
			h := c.Response().Header()
			h["Etag"], h["Last-Modified"], h["Clusterlite-Position"] = []string{`"1"`}, []string{"Sun, 22 Nov 2026 12:00:00 GMT"}, []string{"10000"}
			return c.Blob(http.StatusOK, echo.MIMEApplicationJSON, []byte(body))
		}
	}
	e.GET("/users/:id", answer(entity))
	e.GET("/users", answer(list))
	e.POST("/users", db.create)
	stopped := context.AfterFunc(ctx, func() { _ = e.Close() })
	defer stopped()
	if err := e.Start(args[0]); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

type naive struct {
	*sql.DB
	insert *sql.Stmt
}

func openNaive(ctx context.Context, path string) (*naive, error) {
	db, err := sql.Open("sqlite3", "file:"+path+"?_journal_mode=WAL&_synchronous=FULL&_txlock=immediate&_busy_timeout=30000")
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	if _, err := db.ExecContext(ctx, `CREATE TABLE IF NOT EXISTS users (id INTEGER PRIMARY KEY, created_at TEXT NOT NULL, name TEXT NOT NULL, email TEXT NOT NULL COLLATE NOCASE UNIQUE)`); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	insert, err := db.PrepareContext(ctx, `INSERT INTO users (created_at, name, email) VALUES (?, ?, ?)`)
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return &naive{db, insert}, nil
}

func (db *naive) create(c echo.Context) error {
	var body struct{ Name, Email string }
	if err := c.Bind(&body); err != nil {
		return err
	}
	done, err := db.insert.ExecContext(context.Background(), time.Now().UTC().Format(time.RFC3339), body.Name, body.Email)
	if err != nil {
		return echo.NewHTTPError(http.StatusConflict, err.Error())
	}
	id, err := done.LastInsertId()
	if err != nil {
		return err
	}
	return c.JSON(http.StatusCreated, map[string]any{"id": id, "name": body.Name, "email": body.Email})
}
