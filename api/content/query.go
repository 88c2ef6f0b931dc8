package content

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"
)

// ReadContents reads what URL wrote, of a request that ContentsPattern has matched. Parameters that it does not know are
// errors.
func ReadContents(r *http.Request) (Contents, error) {
	c := Contents{StorageLocation: r.PathValue("location"), BackupName: r.PathValue("name")}
	err := readQuery(r,
		map[string]*string{paramNamespace: &c.Namespace, paramType: &c.Type, paramName: &c.Name},
		map[string]*bool{paramObjects: &c.Objects, ParamSecrets: &c.Secrets})
	return c, err
}

// readQuery reads parameters. One that is not known is an error: what it would have left out would be shown.
func readQuery(r *http.Request, texts map[string]*string, flags map[string]*bool) error {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return fmt.Errorf("the query is malformed: %w", err)
	}
	for name, values := range query {
		if len(values) != 1 {
			return fmt.Errorf("parameter %q is given %d times", name, len(values))
		}
		if text, ok := texts[name]; ok {
			*text = values[0]
			continue
		}
		flag, ok := flags[name]
		if !ok {
			return fmt.Errorf("parameter %q is not known", name)
		}
		if *flag, err = strconv.ParseBool(values[0]); err != nil {
			return fmt.Errorf("parameter %s is %q: use true or false", name, values[0])
		}
	}
	return nil
}
