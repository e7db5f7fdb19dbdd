package sqlmodel

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"

	"github.com/mattn/go-sqlite3"
)

// dateFunctions are the functions of SQLite for dates and times, with the number of arguments
// before the first time.
var dateFunctions = map[string]int{
	"date": 0, "time": 0, "datetime": 0, "julianday": 0, "unixepoch": 0, "timediff": 0, "strftime": 1,
}

// restrict replaces functions on a connection. SQLite consults the authorizer for the name of a
// function, and not at all for the default of a column. So the functions that depend on chance
// or the clock are replaced by ones that fail, and the functions for dates by ones that fail if
// they would read the clock or the time zone. A document can have the text "now" where a date is
// expected.
func restrict(conn *sqlite3.SQLiteConn) error {
	for name, on := range unstable {
		if err := conn.RegisterFunc(name, func(...any) (any, error) {
			return nil, fmt.Errorf("%s() is not allowed, because its result depends on %s", name, on)
		}, false); err != nil {
			return err
		}
	}
	for name, before := range dateFunctions {
		if err := conn.RegisterFunc(name, func(args ...any) (any, error) {
			if err := checkClock(name, before, args); err != nil {
				return nil, err
			}
			return calculate(name, args)
		}, true); err != nil {
			return err
		}
	}
	return nil
}

// checkClock returns an error for a call that depends on the clock or the time zone of the node.
func checkClock(name string, before int, args []any) error {
	if len(args) <= before {
		return fmt.Errorf("%s() without a time is not allowed, because its result depends on the clock", name)
	}
	for i, arg := range args {
		var text string
		switch arg := arg.(type) {
		case string:
			text = arg
		case []byte:
			text = string(arg)
		}
		switch word := strings.ToLower(strings.TrimSpace(text)); {
		case i < before:
		case word == "now", word == "subsec" && len(args) == before+1, word == "subsecond" && len(args) == before+1:
			return fmt.Errorf("%s('%s') is not allowed, because its result depends on the clock", name, word)
		case word == "localtime", word == "utc":
			return fmt.Errorf("the modifier '%s' is not allowed, because its result depends on the time zone of the node", word)
		}
	}
	return nil
}

// calculators are idle. There are as many as were ever needed at the same time.
var calculators struct {
	sync.Mutex
	idle []*calculator
}

// calculate returns the result of one of SQLite's own functions.
func calculate(name string, args []any) (any, error) {
	calculators.Lock()
	var c *calculator
	if n := len(calculators.idle); n > 0 {
		c, calculators.idle = calculators.idle[n-1], calculators.idle[:n-1]
	}
	calculators.Unlock()
	if c == nil {
		c = &calculator{statements: map[string]driver.Stmt{}}
	}
	result, err := c.call(name, args)
	calculators.Lock()
	calculators.idle = append(calculators.idle, c)
	calculators.Unlock()
	return result, err
}

// A calculator calls SQLite's own functions, on a connection that has not been restricted. One
// goroutine uses it at a time.
type calculator struct {
	conn       driver.Conn
	statements map[string]driver.Stmt
}

// call returns the result of a function.
func (c *calculator) call(name string, args []any) (any, error) {
	text := "SELECT " + name + "(?" + strings.Repeat(",?", len(args)-1) + ")"
	statement, ok := c.statements[text]
	if !ok {
		if c.conn == nil {
			conn, err := (&sqlite3.SQLiteDriver{}).Open(":memory:")
			if err != nil {
				return nil, err
			}
			c.conn = conn
		}
		var err error
		if statement, err = c.conn.Prepare(text); err != nil {
			return nil, err
		}
		c.statements[text] = statement
	}
	values := make([]driver.NamedValue, len(args))
	for i, arg := range args {
		values[i] = driver.NamedValue{Ordinal: i + 1, Value: arg}
	}
	rows, err := statement.(*sqlite3.SQLiteStmt).QueryContext(context.Background(), values)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }() // it only read
	result := make([]driver.Value, 1)
	if err := rows.Next(result); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return result[0], nil
}
