package warehouse

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
	"time"

	"tributary/canonical"
)

//go:embed migrations/*.sql
var migrations embed.FS

// A migration is one statement that may run twice.
type migration struct {
	number int
	name   string
	text   string
	sum    string
}

// Migrate brings the database to this program's tables and views: every migration that
// the database does not remember is run, in order, and remembered. Several processes may
// do so at once. A database that a later version has migrated further is refused.
func (w *Warehouse) Migrate(ctx context.Context) error {
	all, err := readMigrations(migrations)
	if err != nil {
		return err
	}
	const remember = `CREATE TABLE IF NOT EXISTS schema_migrations (
		number UInt32, name String, sum String, applied_at DateTime64(3, 'UTC')
	) ENGINE = ReplacingMergeTree ORDER BY number`
	if err := w.conn.Exec(ctx, remember); err != nil {
		return fmt.Errorf("create schema_migrations: %w", err)
	}
	done, err := w.migrated(ctx)
	if err != nil {
		return err
	}
	for number, m := range done {
		if i := m.in(all); i < 0 {
			return fmt.Errorf("%w: it has migration %03d_%s, which this version does not know: run the version that made it, or a later one", ErrNotOurs, number, m.name)
		} else if all[i].sum != m.sum {
			return fmt.Errorf("%w: migration %03d_%s is not the one it was made with", ErrNotOurs, number, m.name)
		}
	}
	var ran []migration
	for _, m := range all {
		if _, had := done[m.number]; had {
			continue
		}
		if err := w.conn.Exec(ctx, m.text); err != nil {
			return errors.Join(fmt.Errorf("migration %03d_%s: %w", m.number, m.name, err), w.remember(ctx, ran))
		}
		ran = append(ran, m)
	}
	return w.remember(ctx, ran)
}

// remember keeps which migrations ran, in one block. What a crash leaves out runs again.
func (w *Warehouse) remember(ctx context.Context, ran []migration) error {
	if len(ran) == 0 {
		return nil
	}
	batch, err := w.conn.PrepareBatch(w.inserting(ctx, ""), "INSERT INTO schema_migrations (number, name, sum, applied_at)")
	if err != nil {
		return fmt.Errorf("remember migrations: %w", err)
	}
	defer batch.Close()
	for _, m := range ran {
		if err := batch.Append(uint32(m.number), m.name, m.sum, time.Now().UTC()); err != nil {
			return fmt.Errorf("remember migrations: %w", err)
		}
	}
	if err := batch.Send(); err != nil {
		return fmt.Errorf("remember migrations: %w", err)
	}
	return nil
}

func (m migration) in(all []migration) int {
	for i, other := range all {
		if other.number == m.number {
			return i
		}
	}
	return -1
}

func (w *Warehouse) migrated(ctx context.Context) (map[int]migration, error) {
	rows, err := w.conn.Query(ctx, "SELECT number, any(name), any(sum) FROM schema_migrations GROUP BY number")
	if err != nil {
		return nil, fmt.Errorf("read schema_migrations: %w", err)
	}
	defer rows.Close()
	done := map[int]migration{}
	for rows.Next() {
		var number uint32
		var m migration
		if err := rows.Scan(&number, &m.name, &m.sum); err != nil {
			return nil, fmt.Errorf("read schema_migrations: %w", err)
		}
		m.number = int(number)
		done[m.number] = m
	}
	return done, rows.Err()
}

// readMigrations lists the migrations in order of their numbers, which are distinct.
func readMigrations(from fs.FS) ([]migration, error) {
	names, err := fs.Glob(from, "migrations/*.sql") // sorted, and the numbers have three digits
	if err != nil {
		return nil, err
	}
	var all []migration
	for _, name := range names {
		text, err := fs.ReadFile(from, name)
		if err != nil {
			return nil, err
		}
		digits, rest, ok := strings.Cut(strings.TrimSuffix(strings.TrimPrefix(name, "migrations/"), ".sql"), "_")
		number, err := strconv.Atoi(digits)
		if !ok || err != nil || len(digits) != 3 {
			return nil, fmt.Errorf("migration %s is not named NNN_what.sql", name)
		}
		if n := len(all); n > 0 && all[n-1].number == number {
			return nil, fmt.Errorf("two migrations have number %d", number)
		}
		all = append(all, migration{number: number, name: rest, text: strings.TrimSpace(string(text)), sum: canonical.SHA256(string(text))[:16]})
	}
	return all, nil
}
