package graph

import (
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
	// made is how much has been made of rows.
	made *budget
}

// budget counts what a query makes.
type budget struct{ spent int }

// take says whether so many bytes more may be made.
func (b *budget) take(n int) bool {
	b.spent = min(b.spent+n, maxMade+1)
	return b.spent <= maxMade
}

var firstType = regexp.MustCompile(`^\s*\w+\s*\|\s*where\s+type\s*(?:=~|==)\s*'([^']+)'\s*(?:\||$)`)

// step does something with all rows.
type step func([]Row) []Row

// Run answers the rows that a query makes of others, which stay as they are. It may be called once.
func (q Query) Run(rows []Row) ([]Row, error) {
	for _, s := range q.steps {
		rows = s(rows)
		if !q.made.take(0) {
			return nil, refused("the query makes more than %d MiB of its rows", maxMade>>20)
		}
	}
	return rows, nil
}

// Parse reads a query.
func Parse(query string) (Query, error) {
	tokens, err := lex(query)
	if err != nil {
		return Query{}, err
	}
	p := &parser{query: query, tokens: tokens, made: &budget{}}
	q := Query{Table: p.next().value, made: p.made}
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
	return func(rows []Row) []Row {
		var kept []Row
		for _, r := range rows {
			if yes, _ := condition(r).(bool); yes {
				kept = append(kept, r)
			}
		}
		return kept
	}, nil
}

// cellSize is about what a cell takes beside its value.
const cellSize = 8

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
	return func(rows []Row) []Row {
		made := make([]Row, len(rows))
		for i, r := range rows {
			made[i] = Row{}
			if !p.made.take(cellSize * (len(r) + len(all))) {
				return nil
			}
			for name, value := range r {
				if keep {
					made[i][name] = value
				}
			}
			for _, c := range all {
				// A column may be made of one before it.
				source := r
				if keep {
					source = made[i]
				}
				made[i][c.name] = c.value(source)
			}
		}
		return made
	}, nil
}

func (p *parser) take() (step, error) {
	n, err := strconv.Atoi(p.next().value)
	if err != nil {
		return nil, refused("take needs a number")
	}
	return func(rows []Row) []Row { return rows[:min(n, len(rows))] }, nil
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
	return func(rows []Row) []Row {
		sorted := slices.Clone(rows)
		slices.SortStableFunc(sorted, func(a, b Row) int {
			if descending {
				a, b = b, a
			}
			return compare(by(a), by(b))
		})
		return sorted
	}, nil
}
