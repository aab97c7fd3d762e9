package load

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"gotimeout/internal/wire"
)

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
		return fmt.Errorf("what serves at %s is no lab: %s%s is no JSON", l.URL, l.URL, path)
	}
	return nil
}

// refusal is what a lab says that won't do what it is asked. Answers of runs
// that timed out or failed are none.
func refusal(status int, body []byte) error {
	if status < 300 || status == http.StatusGatewayTimeout || status == http.StatusBadGateway {
		return nil
	}
	var answer wire.Answer
	if json.Unmarshal(body, &answer) != nil || answer.Error == nil {
		return fmt.Errorf("what serves there is no lab: it answers %d %s", status, http.StatusText(status))
	}
	return errors.New(answer.Error.Message)
}
