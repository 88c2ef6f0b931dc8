package graph

import (
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Row is one resource, decoded from JSON, with columns by name.
type Row map[string]any

// Query is one that was understood.
type Query struct {
	// Table is as it was written: RecoveryServicesResources, Resources.
	Table string
	// Type is the resource type that the query begins by asking for, in lower case, or empty: rows of others need not be given.
	Type  string
	steps []step
}

var firstType = regexp.MustCompile(`^\s*\w+\s*\|\s*where\s+type\s*(?:=~|==)\s*'([^']+)'\s*(?:\||$)`)

// step does something with all rows.
type step func(*effort, []Row) []Row

// Run answers the rows that a query makes of others, which stay as they are. A query that would make too much of them is refused.
func (q Query) Run(rows []Row) ([]Row, error) {
	e, given := &effort{left: maxEffort}, len(rows)
	for _, s := range q.steps {
		if rows = s(e, rows); e.left < 0 {
			return nil, refused("the query takes too much to answer: it makes more of %d resources than is possible", given)
		}
	}
	return rows, nil
}

// effort bounds what a query may cost: a short one can double a text as often as it has steps. It is counted in bytes that are made
// or looked at.
type effort struct{ left int }

const (
	maxEffort = 100_000_000
	// A value in a row costs cell, one in a list costs element, and a comparison costs comparing.
	cell, element, comparing = 8, 32, 4
)

// scalar is a value that can be compared: objects and lists are as they are written.
func (e *effort) scalar(v any) any {
	switch v.(type) {
	case map[string]any, []any:
		v = spell(v)
	}
	if text, ok := v.(string); ok {
		e.spend(len(text))
	}
	return v
}

// spend says whether there is as much left. What is asked for after the end need not be done: the query is refused.
func (e *effort) spend(n int) bool {
	e.left -= n
	return e.left >= 0
}

// Parse reads a query.
func Parse(query string) (Query, error) {
	tokens, err := lex(query)
	if err != nil {
		return Query{}, err
	}
	p := &parser{query: query, tokens: tokens}
	q := Query{Table: p.next().value}
	if asked := firstType.FindStringSubmatch(query); asked != nil {
		q.Type = strings.ToLower(asked[1])
	}
	if p.tokens[0].kind != word {
		return Query{}, refused("the query does not begin with a table")
	}
	for p.peek().kind != end {
		if err := p.expect("|"); err != nil {
			return Query{}, err
		}
		s, err := p.step()
		if err != nil {
			return Query{}, err
		}
		if q.steps = append(q.steps, s); len(q.steps) > maxSteps {
			return Query{}, refused("the query has more than %d steps", maxSteps)
		}
	}
	return q, nil
}

func (p *parser) step() (step, error) {
	switch name := strings.ToLower(p.next().value); name {
	case "where":
		return p.where()
	case "extend":
		return p.columns(true)
	case "project":
		return p.columns(false)
	case "take", "limit":
		return p.take()
	case "order", "sort":
		return p.order()
	default:
		return nil, refused("the query has an operator that is not understood: %.40q", name)
	}
}

func (p *parser) where() (step, error) {
	condition, err := p.expression()
	if err != nil {
		return nil, err
	}
	return func(e *effort, rows []Row) []Row {
		var kept []Row
		for _, r := range rows {
			if !e.spend(1) {
				break
			}
			if yes, _ := condition(e, r).(bool); yes {
				kept = append(kept, r)
			}
		}
		return kept
	}, nil
}

// columns are those of extend, which keeps the others, and of project, which does not.
func (p *parser) columns(keep bool) (step, error) {
	type column struct {
		name  string
		value expression
	}
	var all []column
	for {
		name := p.peek()
		if name.kind != word {
			return nil, p.unexpected("the name of a column")
		}
		c := column{name: name.value, value: columnOf(name.value)}
		if p.tokens[p.at+1].value == "=" {
			p.at += 2
			var err error
			if c.value, err = p.expression(); err != nil {
				return nil, err
			}
		} else {
			p.at++
		}
		all = append(all, c)
		if p.peek().value != "," {
			break
		}
		p.at++
	}
	return func(e *effort, rows []Row) []Row {
		made := make([]Row, len(rows))
		for i, r := range rows {
			if !e.spend(cell * (len(r) + len(all))) {
				break
			}
			made[i] = make(Row, len(all))
			if keep {
				made[i] = maps.Clone(r)
			}
			for _, c := range all {
				// A column may be made of one before it.
				source := r
				if keep {
					source = made[i]
				}
				made[i][c.name] = c.value(e, source)
			}
		}
		return made
	}, nil
}

func (p *parser) take() (step, error) {
	n, err := strconv.Atoi(p.next().value)
	if err != nil || n < 0 {
		return nil, refused("take needs a number")
	}
	return func(_ *effort, rows []Row) []Row { return rows[:min(n, len(rows))] }, nil
}

func (p *parser) order() (step, error) {
	if err := p.expect("by"); err != nil {
		return nil, err
	}
	by, err := p.expression()
	if err != nil {
		return nil, err
	}
	descending := true
	if direction := strings.ToLower(p.peek().value); direction == "asc" || direction == "desc" {
		descending = direction == "desc"
		p.at++
	}
	return func(e *effort, rows []Row) []Row {
		type keyed struct {
			row Row
			key any
		}
		sorted := make([]keyed, len(rows))
		for i, r := range rows {
			// Sorting compares each row with some others.
			if !e.spend(16 * comparing) {
				return nil
			}
			sorted[i] = keyed{r, e.scalar(by(e, r))}
		}
		slices.SortStableFunc(sorted, func(a, b keyed) int {
			if descending {
				a, b = b, a
			}
			return compare(a.key, b.key)
		})
		found := make([]Row, len(sorted))
		for i, s := range sorted {
			found[i] = s.row
		}
		return found
	}, nil
}
