package metadb

import (
	"context"
	"strconv"
	"time"

	"github.com/coffer-backup/coffer/internal/catalogue"
)

// CopiesDue reads what is to be copied to the vault tier now, by an index that has nothing else.
func (v *view) CopiesDue(ctx context.Context, until time.Time, limit int) ([]catalogue.Point, error) {
	if err := checkLimit(limit); err != nil {
		return nil, err
	}
	var found []catalogue.Point
	err := v.each(ctx, "read what is to be copied to the vault tier", func(row scanner) error {
		var p catalogue.Point
		var instance catalogue.ID
		err := scanBarePoint(&p, "")(suffixed{row, []any{&instance}})
		p.Instance = instance
		found = append(found, p)
		return err
	}, "SELECT "+barePointColumns+", r.spelling FROM points p JOIN resources r ON r.id = p.instance"+
		" WHERE p.copy_at <= $1 ORDER BY p.copy_at, p.instance, p.name LIMIT "+strconv.Itoa(limit), micros(until))
	if err != nil {
		return nil, err
	}
	return found, nil
}
