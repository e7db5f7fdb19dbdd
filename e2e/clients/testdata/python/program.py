"""A client that openapi-python-client has generated. mypy checks it strictly."""

import sys
import time

from client import AuthenticatedClient
from client.api.orders import create_orders, delete_orders, list_orders, patch_orders
from client.api.products import create_products, delete_products, list_products, patch_products
from client.api.users import create_users, delete_users, get_users, list_users, patch_users, replace_users
from client.models import (
    ListUsersSortItem,
    Orders,
    OrdersDocument,
    OrdersDocumentStatus,
    OrdersLine,
    OrdersPatch,
    OrdersPatchStatusType0,
    Problem,
    Products,
    ProductsDocument,
    ProductsPatch,
    Users,
    UsersDocument,
    UsersPatch,
)
from client.types import Response

# A store that requires no token ignores an empty one.
client = AuthenticatedClient(base_url=sys.argv[1], token=sys.argv[2] if len(sys.argv) > 2 else "none")
unique = str(time.time_ns())


def problem(r: Response[Problem | Users] | Response[Problem | Products] | Response[Orders | Problem], status: int, pointer: str) -> None:
    assert r.status_code == status, r
    assert isinstance(r.parsed, Problem), r
    errors = r.parsed.errors
    assert isinstance(errors, list) and errors[0].pointer == pointer, errors


def users() -> None:
    email = f"python.{unique}@example.com"
    user = create_users.sync(client=client, body=UsersDocument(name="Ada", email=email), idempotency_key=unique)
    assert isinstance(user, Users), user
    id = str(user.id)
    read = get_users.sync(id, client=client)
    assert isinstance(read, Users) and read.email == email
    found = list_users.sync(client=client, email=email, created_atlte=user.created_at, sort=[ListUsersSortItem.NAME])
    assert isinstance(found, list) and [u.name for u in found] == ["Ada"], found
    patched = patch_users.sync(id, client=client, body=UsersPatch(name="Eve"), if_match='"1"')
    assert isinstance(patched, Users) and patched.version == 2, patched
    stale = patch_users.sync_detailed(id, client=client, body=UsersPatch(name="Eve"), if_match='"1"')
    assert stale.status_code == 412, stale
    problem(create_users.sync_detailed(client=client, body=UsersDocument(name="Ada", email=email)), 409, "/email")
    problem(replace_users.sync_detailed(id, client=client, body=UsersDocument(name="", email=email)), 422, "/name")
    assert delete_users.sync_detailed(id, client=client).status_code == 204


def products() -> None:
    body = ProductsDocument(sku=f"P-{unique[-12:]}", name="Tea", price=4.5, tags=["a"])
    product = create_products.sync(client=client, body=body)
    assert isinstance(product, Products), product
    id = str(product.id)
    found = list_products.sync(client=client, pricegte=4, pricelt=5, sku=body.sku)
    assert isinstance(found, list) and [p.price for p in found] == [4.5], found
    patched = patch_products.sync(id, client=client, body=ProductsPatch(tags=None, stock=7), if_match='"1"')
    assert isinstance(patched, Products) and patched.stock == 7 and not patched.tags, patched
    problem(create_products.sync_detailed(client=client, body=body), 409, "/sku")
    body.price = -1
    problem(create_products.sync_detailed(client=client, body=body), 422, "/price")
    assert delete_products.sync_detailed(id, client=client).status_code == 204


def orders() -> None:
    number = int(unique) // 1000
    body = OrdersDocument(number=number, status=OrdersDocumentStatus.OPEN, lines=[OrdersLine(sku="TEA-001", quantity=2)])
    order = create_orders.sync(client=client, body=body)
    assert isinstance(order, Orders), order
    id = str(order.id)
    found = list_orders.sync(client=client, numbergte=number, status="open")
    assert isinstance(found, list) and found[0].lines[0].quantity == 2, found
    patched = patch_orders.sync(id, client=client, body=OrdersPatch(status=OrdersPatchStatusType0.PAID, customer=None), if_match='"1"')
    assert isinstance(patched, Orders) and patched.status == "paid", patched
    problem(create_orders.sync_detailed(client=client, body=body), 409, "/number")
    body.number, body.lines = number + 1, []
    problem(create_orders.sync_detailed(client=client, body=body), 422, "/lines")
    assert delete_orders.sync_detailed(id, client=client).status_code == 204


users()
products()
orders()
