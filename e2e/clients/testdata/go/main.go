// A client that oapi-codegen has generated. Nothing is decoded by hand.
package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	openapi_types "github.com/oapi-codegen/runtime/types"

	"clients/api"
)

var (
	ctx    = context.Background()
	unique = strconv.FormatInt(time.Now().UnixNano(), 36)
)

func main() {
	client, err := api.NewClientWithResponses(os.Args[1])
	check(err)
	users(client)
	products(client)
	orders(client)
}

func users(client *api.ClientWithResponses) {
	email := openapi_types.Email("go." + unique + "@example.com")
	key := "go-" + unique
	created, err := client.CreateUsersWithResponse(ctx, &api.CreateUsersParams{IdempotencyKey: &key}, api.UsersDocument{Name: "Ada", Email: email})
	check(err)
	user := created.JSON201
	want("created", created.StatusCode(), 201)

	read, err := client.GetUsersWithResponse(ctx, user.Id.String(), nil)
	check(err)
	want("read", read.JSON200.Email, email)

	filter, sort := string(email), []api.ListUsersParamsSort{"-created_at", "name"}
	list, err := client.ListUsersWithResponse(ctx, &api.ListUsersParams{Email: &filter, CreatedAtLte: &user.CreatedAt, Sort: &sort})
	check(err)
	want("listed", len(*list.JSON200), 1)
	want("listed", (*list.JSON200)[0].Name, "Ada")

	tag, name := `"1"`, "Eve"
	patched, err := client.PatchUsersWithResponse(ctx, user.Id.String(), &api.PatchUsersParams{IfMatch: &tag}, api.UsersPatch{Name: &name})
	check(err)
	want("patched", patched.JSON200.Version, 2)
	stale, err := client.PatchUsersWithResponse(ctx, user.Id.String(), &api.PatchUsersParams{IfMatch: &tag}, api.UsersPatch{Name: &name})
	check(err)
	want("stale", stale.ApplicationproblemJSON412.Status, 412)

	taken, err := client.CreateUsersWithResponse(ctx, nil, api.UsersDocument{Name: "Ada", Email: email})
	check(err)
	want("taken", (*taken.ApplicationproblemJSON409.Errors)[0].Pointer, "/email")
	wrong, err := client.ReplaceUsersWithResponse(ctx, user.Id.String(), nil, api.UsersDocument{Name: "", Email: email})
	check(err)
	want("wrong", (*wrong.ApplicationproblemJSON422.Errors)[0].Pointer, "/name")

	removed, err := client.DeleteUsersWithResponse(ctx, user.Id.String(), nil)
	check(err)
	want("deleted", removed.StatusCode(), 204)
}

func products(client *api.ClientWithResponses) {
	sku := "G-" + strings.ToUpper(unique)
	tags := []string{"a"}
	body := api.ProductsDocument{Sku: sku, Name: "Tea", Price: 4.55, Tags: &tags}
	created, err := client.CreateProductsWithResponse(ctx, nil, body)
	check(err)
	id := created.JSON201.Id.String()
	least, most, skus := 4.55, 5.0, []string{sku, "X-1"}
	list, err := client.ListProductsWithResponse(ctx, &api.ListProductsParams{PriceGte: &least, PriceLt: &most, SkuIn: &skus})
	check(err)
	want("listed", (*list.JSON200)[0].Price, 4.55)
	tag, stock := `"1"`, 7
	patched, err := client.PatchProductsWithResponse(ctx, id, &api.PatchProductsParams{IfMatch: &tag}, api.ProductsPatch{Stock: &stock})
	check(err)
	want("patched", *patched.JSON200.Stock, 7)
	taken, err := client.CreateProductsWithResponse(ctx, nil, body)
	check(err)
	want("taken", (*taken.ApplicationproblemJSON409.Errors)[0].Pointer, "/sku")
	body.Price = -1
	wrong, err := client.CreateProductsWithResponse(ctx, nil, body)
	check(err)
	want("wrong", (*wrong.ApplicationproblemJSON422.Errors)[0].Pointer, "/price")
	removed, err := client.DeleteProductsWithResponse(ctx, id, nil)
	check(err)
	want("deleted", removed.StatusCode(), 204)
}

func orders(client *api.ClientWithResponses) {
	number := int(time.Now().UnixNano() / 1000)
	body := api.OrdersDocument{Number: number, Status: api.OrdersDocumentStatusOpen, Lines: []api.OrdersLine{{Sku: "TEA-001", Quantity: 2}}}
	created, err := client.CreateOrdersWithResponse(ctx, nil, body)
	check(err)
	id := created.JSON201.Id.String()
	statuses := []string{"open", "paid"}
	list, err := client.ListOrdersWithResponse(ctx, &api.ListOrdersParams{NumberGte: &number, StatusIn: &statuses})
	check(err)
	want("listed", (*list.JSON200)[0].Lines[0].Quantity, 2)
	tag, paid := `"1"`, api.OrdersPatchStatusPaid
	patched, err := client.PatchOrdersWithResponse(ctx, id, &api.PatchOrdersParams{IfMatch: &tag}, api.OrdersPatch{Status: &paid})
	check(err)
	want("patched", string(patched.JSON200.Status), "paid")
	taken, err := client.CreateOrdersWithResponse(ctx, nil, body)
	check(err)
	want("taken", (*taken.ApplicationproblemJSON409.Errors)[0].Pointer, "/number")
	body.Number, body.Lines = number+1, []api.OrdersLine{}
	wrong, err := client.CreateOrdersWithResponse(ctx, nil, body)
	check(err)
	want("wrong", (*wrong.ApplicationproblemJSON422.Errors)[0].Pointer, "/lines")
	removed, err := client.DeleteOrdersWithResponse(ctx, id, nil)
	check(err)
	want("deleted", removed.StatusCode(), 204)
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

func want[T comparable](what string, got, want T) {
	if got != want {
		panic(fmt.Sprintf("%s: got %v, want %v", what, got, want))
	}
}
