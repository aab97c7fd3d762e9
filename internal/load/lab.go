package load

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"gotimeout/internal/badnet"
	"gotimeout/internal/receipt"
	"gotimeout/internal/wire"
)

// Lab is a running lab.
type Lab struct {
	URL   string // without a slash at its end
	Token string // that lets others than its own machine change the network, or ""

	client http.Client
}

// OpenLab returns the lab at a URL like http://host:port. Close it after use.
func OpenLab(text, token string) (*Lab, error) {
	u, err := url.Parse(text)
	if err == nil && u.User != nil {
		return nil, errors.New("the URL has a user in it, which the results would show: write http://host:port")
	}
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.RawQuery != "" {
		return nil, fmt.Errorf("%q is no URL of a lab: write http://host:port", text)
	}
	lab := &Lab{URL: strings.TrimSuffix(text, "/"), Token: token}
	lab.client.Transport = &http.Transport{MaxIdleConnsPerHost: 4} // the load has its own
	return lab, nil
}

// Close closes the connections to the lab.
func (l *Lab) Close() { l.client.CloseIdleConnections() }

// Facts asks the lab about itself.
func (l *Lab) Facts(ctx context.Context) (f wire.Lab, err error) {
	err = l.get(ctx, "/lab", &f)
	if err == nil && len(f.Strategies) == 0 {
		err = fmt.Errorf("%s is not a goTimeout lab: its answer to GET /lab names no strategy", l.URL)
	}
	return f, err
}

// sockets returns nil where the lab's system doesn't show them.
func (l *Lab) sockets(ctx context.Context) (*wire.Sockets, error) {
	var answer wire.SocketsAnswer
	err := l.get(ctx, "/sockets", &answer)
	return answer.Sockets, err
}

// page is how many receipts are asked for at once.
const page = 1000

// receiptsAfter calls each with the receipts after the one of an ID, the oldest
// first; with all where the ID is "".
func (l *Lab) receiptsAfter(ctx context.Context, id string, each func(*receipt.View) error) error {
	for {
		path := fmt.Sprintf("/receipts?limit=%d&after=%s", page, url.QueryEscape(id))
		var answer wire.Receipts
		if err := l.get(ctx, path, &answer); err != nil {
			return err
		}
		for i := range answer.Receipts {
			r := &answer.Receipts[i]
			if err := each(r); err != nil {
				return err
			}
			id = r.ID
		}
		if len(answer.Receipts) < page {
			return nil
		}
	}
}

// network returns the lab's network, after it was set to a profile unless that is
// "".
func (l *Lab) network(ctx context.Context, profile string) (*badnet.State, error) {
	answer := wire.Network{State: &badnet.State{}}
	if profile == "" {
		return answer.State, l.get(ctx, "/network", &answer)
	}
	return answer.State, l.do(ctx, http.MethodPut, "/network", strings.NewReader(profile), &answer)
}

// run makes one run. It fails where the run doesn't complete.
func (l *Lab) run(ctx context.Context, path string) error {
	var answer wire.Answer
	err := l.get(ctx, path, &answer)
	if err == nil && !answer.Completed && answer.Error != nil {
		return errors.New(answer.Error.Message)
	}
	return err
}

func (l *Lab) get(ctx context.Context, path string, body any) error {
	return l.do(ctx, http.MethodGet, path, nil, body)
}

// patience is how long the lab may take to answer about itself.
const patience = 30 * time.Second

func (l *Lab) do(ctx context.Context, method, path string, send io.Reader, body any) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, l.URL+path, send)
	if err != nil {
		return err
	}
	if l.Token != "" {
		req.Header.Set("Authorization", "Bearer "+l.Token)
	}
	resp, err := l.client.Do(req)
	if err != nil {
		return fmt.Errorf("the lab doesn't answer: %w", err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return fmt.Errorf("the lab doesn't answer: %w", err)
	}
	if err := refusal(resp.StatusCode, text); err != nil {
		return err
	}
	if err := json.NewDecoder(bytes.NewReader(text)).Decode(body); err != nil {
		return fmt.Errorf("%s is not a goTimeout lab: its answer to %s is no JSON", l.URL, path)
	}
	return nil
}

// refusal is the error in an answer by which the lab refuses a request. The answer
// to a run that timed out or failed is no refusal.
func refusal(status int, body []byte) error {
	if status < 300 || status == http.StatusGatewayTimeout || status == http.StatusBadGateway {
		return nil
	}
	var answer wire.Answer
	if json.Unmarshal(body, &answer) != nil || answer.Error == nil || answer.Error.Message == "" {
		return fmt.Errorf("this is not a goTimeout lab: it answers %d %s", status, http.StatusText(status))
	}
	return &refused{status, answer.Error.Message}
}

// refused is the error of a request that the lab refuses.
type refused struct {
	status  int
	message string
}

func (r *refused) Error() string { return r.message }
