package metadb

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/coffer"
)

const resourceColumns = "r.spelling, r.version, r.body, r.facts, r.links, r.created_by, r.created_at, r.changed_by, r.changed_at"

// Resource reads one.
func (v *view) Resource(ctx context.Context, id catalogue.ID) (catalogue.Resource, error) {
	var found catalogue.Resource
	if !findable(key("id", id)) {
		return found, noResource(id)
	}
	there, err := v.one(ctx, "read a resource", scanResource(&found), "SELECT "+resourceColumns+" FROM resources r WHERE r.key = $1", id.Key())
	if err == nil && !there {
		err = noResource(id)
	}
	return found, err
}

// Resources reads a page.
func (v *view) Resources(ctx context.Context, q catalogue.ResourceQuery) ([]catalogue.Resource, error) {
	if err := errors.Join(checkLimit(q.Limit), checkSome(q.Among)); err != nil {
		return nil, err
	}
	if !findable(key("scope", q.Under), word("type", q.Type), key("place", catalogue.ID(q.After))) {
		return nil, nil
	}
	from, column, f := selectResources(q)
	var found []catalogue.Resource
	err := v.each(ctx, "read resources", func(row scanner) error {
		var r catalogue.Resource
		err := scanResource(&r)(row)
		found = append(found, r)
		return err
	}, "SELECT "+resourceColumns+" FROM "+from+f.page(column, q.Limit), f.values...)
	if err != nil {
		return nil, err
	}
	return found, nil
}

// CountResources counts them.
func (v *view) CountResources(ctx context.Context, q catalogue.ResourceQuery) (n int, err error) {
	if err := checkSome(q.Among); err != nil {
		return 0, err
	}
	if !findable(key("scope", q.Under), word("type", q.Type), key("place", catalogue.ID(q.After))) {
		return 0, nil
	}
	from, _, f := selectResources(q)
	_, err = v.one(ctx, "count resources", func(row scanner) error { return row.Scan(&n) }, "SELECT COUNT(*) FROM "+from+f.where(), f.values...)
	return n, err
}

// selectResources is where a query looks, by which column it is in order, and its conditions.
func selectResources(q catalogue.ResourceQuery) (from, column string, f filter) {
	from, column = "resources r", "r.key"
	if q.Linked != nil {
		from, column = "links l JOIN resources r ON r.id = l.resource", "l.key"
		f.add("l.digest = ?", digest(q.Linked.Relation, q.Linked.Target))
	}
	if len(q.Among) > 0 {
		f.among("r.key", keysOf(q.Among))
	}
	if q.Type != "" {
		f.add("r.type = ?", strings.ToLower(q.Type))
	}
	above := q.After
	if q.Under != "" {
		// What lies below begins with the scope and a slash; in the order of bytes, 0 follows the slash.
		above = max(above, q.Under.Key()+"/")
		f.add(column+" < ?", q.Under.Key()+"0")
	}
	if above != "" || len(q.Among) == 0 {
		f.add(column+" > ?", above)
	}
	return from, column, f
}

func scanResource(r *catalogue.Resource) func(scanner) error {
	return func(row scanner) error {
		var contents, facts, links []byte
		var created, changed int64
		err := row.Scan(&r.ID, &r.Version, &contents, &facts, &links, &r.Created.By, &created, &r.Changed.By, &changed)
		if err != nil {
			return err
		}
		r.Body, r.Facts = body(contents), body(facts)
		r.Created.At, r.Changed.At = fromMicros(created), fromMicros(changed)
		return parseLinks(links, &r.Links)
	}
}

// existing is what a write needs to know of what is there.
type existing struct {
	row     int64
	id      catalogue.ID
	version int64
	links   []byte
	created catalogue.Stamp
}

// existing reads what is there, or nil.
func (v *view) existing(ctx context.Context, id catalogue.ID) (*existing, error) {
	if !findable(key("id", id)) {
		return nil, nil
	}
	var e existing
	var created int64
	there, err := v.one(ctx, "read a resource", func(row scanner) error {
		return row.Scan(&e.row, &e.id, &e.version, &e.links, &e.created.By, &created)
	}, "SELECT id, spelling, version, links, created_by, created_at FROM resources WHERE key = $1", id.Key())
	if err != nil || !there {
		return nil, err
	}
	e.created.At = fromMicros(created)
	v.know(id.Key(), e.row)
	return &e, nil
}

// keysOf are the keys of ids that can have been stored.
func keysOf(ids []catalogue.ID) []string {
	keys := make([]string, 0, len(ids))
	for _, id := range ids {
		if findable(key("id", id)) {
			keys = append(keys, id.Key())
		}
	}
	return keys
}

// rowsOf are the rows of resources, by their keys. If one is not there, that is an error.
func (v *view) rowsOf(ctx context.Context, ids []catalogue.ID) (map[string]int64, error) {
	if err := v.knowRows(ctx, ids); err != nil {
		return nil, err
	}
	for _, id := range ids {
		if _, there := v.rows[id.Key()]; !there {
			return nil, noResource(id)
		}
	}
	return v.rows, nil
}

// knowRows reads the rows of those resources that are there and were not met yet.
func (v *view) knowRows(ctx context.Context, ids []catalogue.ID) error {
	unknown := slices.DeleteFunc(keysOf(ids), func(key string) bool {
		_, known := v.rows[key]
		return known
	})
	slices.Sort(unknown)
	for some := range slices.Chunk(slices.Compact(unknown), maxPage) {
		var f filter
		f.among("key", some)
		err := v.each(ctx, "read resources", func(row scanner) error {
			var key string
			var id int64
			err := row.Scan(&key, &id)
			v.know(key, id)
			return err
		}, "SELECT key, id FROM resources"+f.where(), f.values...)
		if err != nil {
			return err
		}
	}
	return nil
}

// know remembers the row of a resource.
func (v *view) know(key string, row int64) {
	if v.rows == nil {
		v.rows = map[string]int64{}
	}
	v.rows[key] = row
}

// PutResource creates or replaces one.
func (t *transaction) PutResource(ctx context.Context, r catalogue.Resource, c catalogue.Condition) (catalogue.Resource, error) {
	if _, err := catalogue.ParseID(string(r.ID)); err != nil {
		return r, err
	}
	fields := []field{word("type", r.ID.Type())}
	for _, link := range r.Links {
		fields = append(fields, word("relation", link.Relation), key("target", catalogue.ID(link.Target)))
	}
	if err := checkText(fields...); err != nil {
		return r, err
	}
	r.Created = catalogue.Stamp{By: readable(r.Created.By), At: fromMicros(micros(r.Created.At))}
	r.Changed = catalogue.Stamp{By: readable(r.Changed.By), At: fromMicros(micros(r.Changed.At))}
	was, err := t.existing(ctx, r.ID)
	if err != nil {
		return r, err
	}
	if err := check(r.ID, was, c); err != nil {
		return r, err
	}
	links := linksText(r.Links)
	if was == nil {
		return t.insertResource(ctx, r, links)
	}
	r.Version, r.Created = was.version+1, was.created
	_, err = t.exec(ctx, "replace a resource",
		"UPDATE resources SET spelling = $1, version = $2, body = $3, facts = $4, links = $5, changed_by = $6, changed_at = $7 WHERE id = $8",
		string(r.ID), r.Version, bytes(r.Body), bytes(r.Facts), links, r.Changed.By, micros(r.Changed.At), was.row)
	if err != nil || string(links) == string(was.links) {
		return r, err
	}
	if _, err := t.exec(ctx, "replace links", "DELETE FROM links WHERE resource = $1", was.row); err != nil {
		return r, err
	}
	return r, t.insertLinks(ctx, was.row, r)
}

func (t *transaction) insertResource(ctx context.Context, r catalogue.Resource, links []byte) (catalogue.Resource, error) {
	r.Version = 1
	var row int64
	_, err := t.one(ctx, "create a resource", func(s scanner) error { return s.Scan(&row) },
		"INSERT INTO resources (key, spelling, type, version, body, facts, links, created_by, created_at, changed_by, changed_at)"+
			" VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) RETURNING id",
		r.ID.Key(), string(r.ID), strings.ToLower(r.ID.Type()), r.Version, bytes(r.Body), bytes(r.Facts), links,
		r.Created.By, micros(r.Created.At), r.Changed.By, micros(r.Changed.At))
	if err != nil {
		return r, err
	}
	return r, t.insertLinks(ctx, row, r)
}

// MoveResource gives one another id. What belongs to it is found by its row; only what is kept in the order of keys has its key as well.
func (t *transaction) MoveResource(ctx context.Context, from, to catalogue.ID, c catalogue.Condition) (catalogue.Resource, error) {
	var moved catalogue.Resource
	if _, err := catalogue.ParseID(string(to)); err != nil {
		return moved, err
	}
	if err := checkText(word("type", to.Type())); err != nil {
		return moved, err
	}
	was, err := t.existing(ctx, from)
	if err != nil {
		return moved, err
	}
	if was == nil {
		return moved, noResource(from)
	}
	if err := check(from, was, c); err != nil {
		return moved, err
	}
	taken, err := t.existing(ctx, to)
	if err != nil {
		return moved, err
	}
	if err := check(to, taken, catalogue.Condition{New: true}); err != nil {
		return moved, err
	}
	delete(t.rows, from.Key())
	// What is due follows by its foreign key.
	_, err = t.exec(ctx, "move a resource", "UPDATE resources SET key = $1, spelling = $2, type = $3, version = version + 1 WHERE id = $4",
		to.Key(), string(to), strings.ToLower(to.Type()), was.row)
	if err != nil {
		return moved, err
	}
	if _, err := t.exec(ctx, "move links", "UPDATE links SET key = $1 WHERE resource = $2", to.Key(), was.row); err != nil {
		return moved, err
	}
	return t.Resource(ctx, to)
}

// DeleteResource deletes one; the database deletes what belongs to it.
func (t *transaction) DeleteResource(ctx context.Context, id catalogue.ID, c catalogue.Condition) error {
	was, err := t.existing(ctx, id)
	if err != nil {
		return err
	}
	if was == nil {
		return noResource(id)
	}
	if err := check(id, was, c); err != nil {
		return err
	}
	delete(t.rows, id.Key())
	_, err = t.exec(ctx, "delete a resource", "DELETE FROM resources WHERE id = $1", was.row)
	return err
}

// check holds what a write expects to find.
func check(id catalogue.ID, was *existing, c catalogue.Condition) error {
	failed := func(format string, args ...any) error {
		return coffer.Errorf(coffer.CodePreconditionFailed, format, args...).WithHint("read it again, and decide on what is there now")
	}
	switch {
	case c.New && was != nil:
		return failed("%s is there already", id)
	case c.Exists && was == nil:
		return failed("%s is not there", id)
	case c.Version != 0 && was == nil:
		return failed("%s is not there: its version %d was expected", id, c.Version)
	case !c.Created.IsZero() && (was == nil || !was.created.At.Equal(c.Created)):
		return failed("%s is not the one that was expected: that has been deleted", id)
	case c.Version != 0 && was.version != c.Version:
		return failed("%s has changed meanwhile: it has version %d, and %d was expected", id, was.version, c.Version)
	}
	return nil
}

// insertLinks writes what finds a resource by its links.
func (t *transaction) insertLinks(ctx context.Context, row int64, r catalogue.Resource) error {
	for i, link := range r.Links {
		if slices.Contains(r.Links[:i], link) {
			continue
		}
		_, err := t.exec(ctx, "write a link", "INSERT INTO links (digest, key, resource) VALUES ($1, $2, $3)",
			digest(link.Relation, link.Target), r.ID.Key(), row)
		if err != nil {
			return err
		}
	}
	return nil
}

// linksText is links as they are stored: pairs of relation and target.
func linksText(links []catalogue.Link) []byte {
	pairs := make([][2]string, 0, len(links))
	for _, link := range links {
		pairs = append(pairs, [2]string{link.Relation, link.Target})
	}
	// Pairs of strings are always JSON.
	text, _ := json.Marshal(pairs)
	return text
}

func parseLinks(text []byte, to *[]catalogue.Link) error {
	var pairs [][2]string
	if err := json.Unmarshal(text, &pairs); err != nil {
		return fmt.Errorf("read links: %w", err)
	}
	for _, pair := range pairs {
		*to = append(*to, catalogue.Link{Relation: pair[0], Target: pair[1]})
	}
	return nil
}

func noResource(id catalogue.ID) error { return notFound("the resource %s was not found", id) }
