package handlers

import (
	"context"
	"fmt"
	"net/http"
	"strconv"

	"gotimeout/internal/receipt"

	"github.com/go-chi/chi/v5"
)

const defaultLimit = 20

// lastReceipts serves the newest receipts, the newest first.
func (l *Lab) lastReceipts(w http.ResponseWriter, r *http.Request) {
	q, err := query(r.URL.RawQuery, "limit")
	limit := defaultLimit
	if text, given := q["limit"]; given {
		limit, err = strconv.Atoi(text)
		if err != nil || limit < 1 || limit > l.Ledger.Size() {
			err = fmt.Errorf("limit=%.20s is no number from 1 to %d, which is what the ledger holds", text, l.Ledger.Size())
		}
	}
	if err != nil {
		badParameter(w, r, err)
		return
	}
	views := []receipt.View{}
	for _, rc := range l.Ledger.Last(limit) {
		views = append(views, l.resolved(rc))
	}
	writeJSON(w, r, http.StatusOK, map[string]any{"receipts": views})
}

// oneReceipt serves a receipt as it stands, or with wait= once it is complete.
func (l *Lab) oneReceipt(w http.ResponseWriter, r *http.Request) {
	q, err := query(r.URL.RawQuery, "wait")
	if err != nil {
		badParameter(w, r, err)
		return
	}
	wait, err := duration(q, "wait", 0, l.Longest())
	if err != nil {
		badParameter(w, r, err)
		return
	}
	rc := l.Ledger.Get(chi.URLParam(r, "id"))
	if rc == nil {
		refuse(w, r, http.StatusNotFound, "no_receipt", fmt.Sprintf(
			"there is no receipt %.40q: the ledger holds the last %d runs of this lab, see /receipts",
			chi.URLParam(r, "id"), l.Ledger.Size()))
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), wait)
	defer cancel()
	rc.Wait(ctx)
	writeJSON(w, r, http.StatusOK, l.resolved(rc))
}

// resolved is a receipt with the ends of its connections as they turned out.
func (l *Lab) resolved(rc *receipt.Receipt) receipt.View {
	if l.Kernel != nil {
		rc.Resolve(l.Kernel.Known)
	}
	return rc.View()
}
