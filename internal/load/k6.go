package load

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"text/template"
	"time"

	"gotimeout/internal/results"
)

//go:embed k6.js.tmpl
var k6Text string

// K6 writes the plan as a script for k6, which makes the same load from as many
// machines as it is given, on the lab at url unless k6 is told another one. A row
// of which a threshold is so makes k6 exit with 99. Its errors are of what k6
// can't do, or doesn't see.
func (p Plan) K6(w io.Writer, url string, thresholds []Threshold) error {
	lab, err := OpenLab(url, "")
	if err != nil {
		return err
	}
	interval := time.Second / time.Duration(p.Rate)
	script := k6Script{
		URL: lab.URL, Cells: p.k6Cells(), Floor: results.FloorName,
		Rate: p.Rate, WarmUp: int(p.warmUp() / interval), Requests: int(p.Duration / interval),
	}
	if err := p.checkK6(script); err != nil {
		return err
	}
	spare := time.Second
	if len(p.Networks) > 0 {
		script.Network, spare = p.Networks[0], 5*time.Second // what is lost is sent again
	}
	longest := max(slices.Max(p.Delays), slices.Max(p.Timeouts)) + spare
	script.Longest = ms(longest)
	script.VUs = int(math.Ceil(float64(p.Rate) * longest.Seconds()))
	if script.Limits, err = limits(thresholds, script.Cells); err != nil {
		return err
	}
	text := template.Must(template.New("k6").Funcs(template.FuncMap{"json": inScript}).Parse(k6Text))
	return text.Execute(w, script)
}

// k6Script is what the script is made of.
type k6Script struct {
	URL, Network, Floor         string
	Cells                       []k6Cell
	Rate, WarmUp, Requests, VUs int
	Longest                     float64
	Limits                      []k6Limit
}

type k6Cell struct {
	Strategy string    `json:"strategy"`
	Op       string    `json:"op"`
	Ctx      string    `json:"ctx"`
	Timeout  float64   `json:"timeout_ms"`
	Delays   []float64 `json:"delays_ms"`
}

// k6Cells are the plan's. On a network there are no floors: it can't be made
// good for them and bad for the others.
func (p Plan) k6Cells() (cells []k6Cell) {
	for _, c := range p.cells() {
		if !c.Floor || len(p.Networks) == 0 {
			cells = append(cells, k6Cell{c.Strategy, c.Op, c.Ctx, c.Timeout, c.Delays})
		}
	}
	return cells
}

// checkK6 tells what of the plan k6 can't run.
func (p Plan) checkK6(script k6Script) error {
	// Its least for a scenario, to the millisecond that the script rounds up to.
	load := time.Second * time.Duration(script.WarmUp+script.Requests) / time.Duration(p.Rate)
	switch {
	case len(p.Networks) > 1:
		return errors.New("a k6 script sets one network, before it begins: write one script for each --network")
	case len(p.Timeouts) > 1:
		return errors.New("a k6 script has one timeout: write one script for each")
	case p.Repeat > 1:
		return errors.New("k6 makes one result of all that a script does: leave --repeat out, and run the script several times")
	case load <= time.Second-time.Millisecond:
		return fmt.Errorf("k6 runs a cell for 1s at least, and this one would take %s with its warm-up: raise --duration", load)
	}
	return nil
}

// inScript writes a value as JavaScript reads it: JSON, for people.
func inScript(value any) (string, error) {
	var text bytes.Buffer
	e := json.NewEncoder(&text)
	e.SetEscapeHTML(false) // which would hide a < from them
	err := e.Encode(value)
	return strings.TrimSpace(text.String()), err
}
