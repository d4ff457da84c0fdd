def wrong():
    return {}["missing"]
