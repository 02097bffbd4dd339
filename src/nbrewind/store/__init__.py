from nbrewind.store.quick import Store as Store
