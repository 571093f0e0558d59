"""stub"""
RULES={"last":None,"source_val":None}
def choose(records,*,num_source_val):
    n=len(records)-1
    return {"last":n,"source_val":n,"oracle":n}
